"""Arrows run one way, and no room grows too large."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from grimp import ImportGraph, build_graph
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
APPS = ("gridbalance", "dispatch", "fleets")
LONGEST = 400


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return build_graph(*APPS, exclude_type_checking_imports=True, cache_dir=None)


def test_every_import_keeps_to_its_floor(capsys: pytest.CaptureFixture[str]) -> None:
    failed = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)

    assert not failed, capsys.readouterr().out


def test_the_contracts_leave_no_module_out() -> None:
    """A room that no floor names would be free to import anything."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    floors = [contract for contract in contracts if contract["type"] == "layers"]

    assert [contract["layers"] for contract in floors[:1]] == [list(APPS)]
    for contract in floors[1:]:
        assert contract["exhaustive"], contract["name"]
    assert {name for one in floors[1:] for name in one["containers"]} == {
        "dispatch",
        "dispatch.forecast",
        "dispatch.rehearsal",
        "dispatch.safekeeping",
        "fleets",
    }


def test_no_module_imports_itself_by_way_of_others(graph: ImportGraph) -> None:
    """Peel off what imports nothing that is left: a circle is what remains."""
    imports = {
        module: graph.find_modules_directly_imported_by(module) & graph.modules
        for module in graph.modules
    }
    while free := {module for module, needs in imports.items() if not needs}:
        imports = {
            module: needs - free
            for module, needs in imports.items()
            if module not in free
        }

    assert not imports, f"in or above a circle: {sorted(imports)}"


def test_no_module_is_too_long_to_read_at_once() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        if "migrations" not in path.parts
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }

    assert long == {}

"""Old and new code run side by side: no migration takes from the release before.

What a release adds, the one before neither reads nor writes; what that one writes must
go on fitting. `manage.py drill upgrade` tries it on real processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

APPS = ("fleets", "dispatch")
# Renaming and removing wait until no code that runs knows the old name.
NEVER = (
    migrations.RemoveField, migrations.RenameField, migrations.RenameModel,
    migrations.DeleteModel, migrations.AlterModelTable,
)  # fmt: skip
# What breaks the rules, and why it may.
EXCUSED = {
    # Looser than the constraint that it takes the place of.
    ("dispatch", "one_envelope_each"),
    # Old code leaves the new column empty, and an empty one passes.
    ("dispatch", "envelope_of_one_thing"),
    # Old code lowers no limit, and leaves the column empty: that passes.
    ("dispatch", "hold_lowers_a_known_limit"),
    # The same as before, and bounds of a new column.
    ("fleets", "program_restore_rules_positive"),
    # Before 0.1.0: no release that writes programs ran without them.
    ("fleets", "max_holds_per_day"),
    ("fleets", "pick_up_ramp_kw_per_minute"),
}


def loaded() -> MigrationLoader:
    return MigrationLoader(None)


def later() -> list[Any]:
    """Return every migration that came after the first ones."""
    found = loaded().disk_migrations
    return [
        migration
        for (app, _), migration in sorted(found.items())
        if app in APPS and not migration.initial
    ]


def offences(
    app: str, operations: list[Operation], state: ProjectState
) -> Iterator[tuple[str, str]]:
    """Yield what each operation takes from code of the release before."""
    created: set[str] = set()
    added: set[tuple[str, str]] = set()
    for operation in operations:
        model = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, NEVER):
            yield str(getattr(operation, "name", model)), "taken away or renamed"
        elif isinstance(operation, migrations.CreateModel):
            created.add(model)
        elif model in created:
            pass  # a table that the release before does not know
        elif isinstance(operation, migrations.AddField):
            added.add((model, operation.name))
            if not _fills_itself(operation.field):
                yield operation.name, "an insert of old code would lack it"
        elif isinstance(operation, migrations.AlterField):
            before = state.models[app, model].fields[operation.name]
            if reason := _tightened(before, operation.field):
                yield operation.name, reason
        elif isinstance(operation, migrations.AddConstraint):
            if not _is_about(operation.constraint, model, added):
                yield operation.constraint.name, "rows of old code may break it"
        elif isinstance(operation, migrations.RunPython) and not operation.reversible:
            yield "RunPython", "has no reverse"
        operation.state_forwards(app, state)


def _fills_itself(field: models.Field[Any, Any]) -> bool:
    return bool(
        field.null
        or field.has_db_default()
        or isinstance(field, models.ManyToManyField)
    )


def _tightened(
    before: models.Field[Any, Any], after: models.Field[Any, Any]
) -> str | None:
    if before.null and not after.null:
        return "null before"
    if before.get_internal_type() != after.get_internal_type():
        return "of another type before"
    if (before.max_length or 0) > (after.max_length or 10**9):
        return "longer before"
    return None


def _is_about(
    constraint: models.BaseConstraint, model: str, added: set[tuple[str, str]]
) -> bool:
    """Say whether a constraint bounds columns alone that are new with it."""
    new = {name for at, name in added if at == model}
    if isinstance(constraint, models.CheckConstraint):
        fields = set(_fields(constraint.condition))
        return bool(fields) and fields <= new
    return bool(new & set(getattr(constraint, "fields", ())))


def _fields(condition: Any) -> Iterator[str]:
    for child in getattr(condition, "children", ()):
        if isinstance(child, tuple):
            yield str(child[0]).partition("__")[0]
        else:
            yield from _fields(child)


@pytest.mark.parametrize("migration", later(), ids=lambda one: f"{one.app_label}.{one}")
def test_old_code_goes_on_beside_a_migration(migration: Any) -> None:
    state = loaded().project_state((migration.app_label, migration.name), at_end=False)

    found = [
        (name, reason)
        for name, reason in offences(migration.app_label, migration.operations, state)
        if (migration.app_label, name) not in EXCUSED
    ]

    assert found == []


def text(**options: Any) -> models.Field[Any, Any]:
    return models.CharField(**{"max_length": 40, **options})


FORBIDDEN: dict[str, Operation] = {
    "a column that old code fills": migrations.RemoveField("hold", "reason"),
    "a name that old code uses": migrations.RenameField("hold", "reason", "why"),
    "a value that old code does not give": migrations.AddField(
        "hold", "colour", text(default="red")
    ),
    "a shorter text": migrations.AlterField("hold", "reason", text(max_length=10)),
    "a value that old code leaves out": migrations.AlterField(
        "hold", "held_at", models.DateTimeField()
    ),
    "a check of what old code writes": migrations.AddConstraint(
        "hold",
        models.CheckConstraint(condition=models.Q(power_kw__gt=1), name="more"),
    ),
    "one of a kind": migrations.AddConstraint(
        "hold", models.UniqueConstraint(fields=["reason"], name="one_reason")
    ),
    "a filling without a way back": migrations.RunPython(lambda *_: None),
}
ALLOWED: dict[str, Operation] = {
    "an empty column": migrations.AddField("hold", "colour", text(null=True)),
    "a column that fills itself": migrations.AddField(
        "hold", "colour", text(db_default="red")
    ),
    "a longer text": migrations.AlterField("hold", "reason", text(max_length=80)),
    "an index": migrations.AddIndex(
        "hold", models.Index(fields=["reason"], name="by_reason")
    ),
    "a bound that goes": migrations.RemoveConstraint("hold", "hold_status_known"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_migration_must_not_do_is_found(name: str) -> None:
    assert list(offences("dispatch", [FORBIDDEN[name]], loaded().project_state()))


@pytest.mark.parametrize("name", ALLOWED)
def test_what_it_may_do_is_let_pass(name: str) -> None:
    assert not list(offences("dispatch", [ALLOWED[name]], loaded().project_state()))

"""The words around the code say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatch import lifecycle

CHECKOUT = Path(__file__).resolve().parent.parent
FOLDERS = ("docs", "gridbalance", "dispatch", "fleets", "templates", "tests")
SETTING = re.compile(r'env\.(?:text|number|switch)\(\s*"([A-Z_]+)"')
SETTING_ROW = re.compile(r"^\| `([A-Z_]+)` \|", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TERM = re.compile(r"\*\*([^*]+)\*\*")
STATUSES = (
    lifecycle.EventStatus,
    lifecycle.EnvelopeChangeStatus,
    lifecycle.ParticipationStatus,
    lifecycle.HoldStatus,
    lifecycle.CommandStatus,
)
# The words of the field that everything here is told in.
WORDS = (
    "program", "enrolment", "feeder", "substation", "reading", "grid signal",
    "grid event", "participation", "hold", "restore", "command", "change",
    "confirmed", "unconfirmed", "blind kW", "baseline", "shed", "rebound",
    "settlement",
)  # fmt: skip


def read(path: str) -> str:
    """Return the text of a file of the checkout."""
    return (CHECKOUT / path).read_text(encoding="utf-8")


def pages() -> list[str]:
    """Return every page of words that belongs to the project."""
    inner = (page for name in FOLDERS for page in (CHECKOUT / name).rglob("*.md"))
    found = [*CHECKOUT.glob("*.md"), *inner]
    return sorted(str(page.relative_to(CHECKOUT)) for page in found)


def anchors(path: Path) -> set[str]:
    """Return the anchors that a page's headings make."""
    headings = HEADING.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def test_every_setting_has_its_line_and_no_other_has() -> None:
    read_by_the_code = SETTING.findall(read("gridbalance/settings.py"))
    told = SETTING_ROW.findall(read("docs/configuration.md"))

    assert sorted(told) == sorted(set(read_by_the_code))


@pytest.mark.parametrize("page", pages())
def test_its_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(FENCED.sub("", read(page))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / path if path else CHECKOUT / page

        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("status", [one for life in STATUSES for one in life])
def test_every_status_is_in_the_architecture(status: str) -> None:
    assert f"`{status.value}`" in read("docs/architecture.md")  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", WORDS)
def test_the_glossary_tells_the_words_of_the_field(word: str) -> None:
    terms = {term.casefold() for term in TERM.findall(read("docs/glossary.md"))}

    assert any(term.startswith(word.casefold()) for term in terms)

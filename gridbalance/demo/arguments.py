"""What makes one evening different from another, and which one a folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

FILE_NAME = "demo.json"


@dataclass(frozen=True)
class Arguments:
    """The flags of one evening; the same ones go on where it was."""

    vehicles: int | None
    event_minutes: float
    speed: float
    seed: int
    sessions: str | None
    faults: str
    tactic: str = "stop"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return them from parsed options; others are left alone."""
        return cls(**{field.name: options[field.name] for field in fields(cls)})

    @classmethod
    def remembered(cls, folder: Path) -> Self | None:
        """Return the evening that this folder holds, if it holds one."""
        try:
            return cls.of(json.loads((folder / FILE_NAME).read_text()))
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def remember(self, folder: Path) -> None:
        """Write down that this folder holds this evening."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self)))

    @staticmethod
    def forget(folder: Path) -> None:
        """Let the next start begin anew."""
        (folder / FILE_NAME).unlink(missing_ok=True)

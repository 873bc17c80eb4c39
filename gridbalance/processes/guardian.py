"""Wait for the end of the supervisor, however it comes, and end what it left."""

from __future__ import annotations

import sys
from pathlib import Path

from gridbalance.processes import leftovers

if __name__ == "__main__":
    sys.stdin.buffer.read()  # nothing is ever written: this returns at its end
    leftovers.end(Path(sys.argv[1]))

"""Yosys' netlist in JSON (`write_json`), changed in its file between Yosys and what takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def edited(path: Path) -> Iterator[dict[str, Any]]:
    """The design in the file, which is written back as it is at the end; not where an exception comes before."""
    design = json.loads(path.read_text())
    yield design
    path.write_text(json.dumps(design, separators=(",", ":")))

"""Coverage floors: what a comparison of a known file must at least have reached. They are raised, never lowered."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from tickgate.sim.compare.result import CompareResult

FLOORS = Path(__file__).with_name("floors.toml")


def floor_of(path: Path) -> dict[str, Any] | None:
    """The floor of the file with these contents, None where none is stated."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    with open(FLOORS, "rb") as file:
        floors = tomllib.load(file)
    return floors.get(digest.hexdigest())


def below(result: CompareResult, floor: dict[str, Any]) -> list[str]:
    """What the run fell short of, one line each."""
    short = []
    if result.valid_share < floor.get("valid_share", 0):
        short.append(f"{result.valid_share:.4%} of messages on a valid book, the floor is {floor['valid_share']:.4%}")
    if result.orders < floor.get("orders", 0):
        short.append(f"{result.orders} orders sent, the floor is {floor['orders']}")
    for reason in floor.get("rejects", ()):
        if not result.rejects.get(reason):
            short.append(f"no order was rejected for {reason}, the floor asks for one")
    return short

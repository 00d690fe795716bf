"""Runs a short session through a device that counts what it executes, for the compiler (see `sim.compiling`).

`python -m tickgate.sim.training LIBRARY SLOTS ORDERS LEVELS STASH`. The library writes what it counted when the process
ends, which is why it has one of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tickgate.sim.compare.inputs import FeedIdentity
from tickgate.sim.device import Device
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.spec import defaults
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.sizes import Sizes

#: A session of its own: figures of the demo's are not those of a device that has seen it before.
SEED = 20
MESSAGES = 3_000

_USUAL_SYMBOLS = 8


class Trainee(Device):
    """The device in a library at hand."""

    def __init__(self, library: Path, sizes: Sizes):
        self._file = library
        super().__init__(sizes)

    def _compiled(self, waves: bool, faults: frozenset[str]) -> Path:
        return self._file


def run(library: Path, sizes: Sizes) -> int:
    """Runs the session, one message a frame; gives the number of messages that the device decoded."""
    session = list(blocks(SessionOptions(seed=SEED, symbols=min(sizes.slots, _USUAL_SYMBOLS), messages=MESSAGES)))
    config = demo_config(derive_config(lambda: (m for block in session for m in block), sizes))
    feed = FeedIdentity(defaults.FEED_IP, defaults.FEED_PORT, defaults.FEED_SESSION, defaults.FEED_FIRST_SEQUENCE).row()
    with Trainee(library, sizes) as device:
        device.load(Config(**{**config.__dict__, "feed": feed}))
        for frames in Packer(per_packet=1).pack_all(session):
            device.run(frames)
        device.drain()
        return len(device.traces()["itch"])


def main(arguments: Sequence[str]) -> int:
    """Runs the session through what the arguments name."""
    run(Path(arguments[0]), Sizes(*(int(text) for text in arguments[1:5])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

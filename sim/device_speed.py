"""How many messages a second the simulated device takes alone on one core, from the capture's file to the traces.

`python -m tickgate.sim.device_speed [LIBRARY ...]` runs the session of `tickgate demo` without the model beside it. Of
several compiled devices each takes the same piece in turns, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from tickgate.sim import build
from tickgate.sim.compare.device_side import DeviceSide, Piece
from tickgate.sim.compare.inputs import Input
from tickgate.sim.demo import MESSAGES, SYMBOLS
from tickgate.sim.device import MINIMUM_GAP_CYCLES, Device
from tickgate.sim.training import Trainee
from tickgate.sw.files import pcap
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.sizes import DEFAULT_SIZE, Sizes, sizes_named


@dataclass
class Measured:
    """What one library did.

    Members
    -------
    rates: messages a second of processor time, a piece each. digest: of all traces and order frames.
    """

    library: Path
    rates: list[float] = field(default_factory=list)
    digest: str = ""


def measure(libraries: Sequence[Path], sizes: Sizes, messages: int = MESSAGES) -> list[Measured]:
    """Runs the session through each library, piece by piece in turns; the first piece warms up and is not counted."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "session.pcap"
        config = _session(path, sizes, messages)
        found = [Measured(library) for library in libraries]
        runs = [_timed(stack.enter_context(Trainee(library, sizes)), config, path) for library in libraries]
        digests = [hashlib.sha256() for _ in libraries]
        for number, turn in enumerate(zip(*runs, strict=True)):
            for measured, digest, (piece, taken_ns) in zip(found, digests, turn, strict=True):
                if number:
                    measured.rates.append(len(piece.traces["itch"]) * 1e9 / taken_ns)
                for records in piece.traces.values():
                    digest.update(records.tobytes())
                digest.update(repr(piece.orders).encode())
        for measured, digest in zip(found, digests, strict=True):
            measured.digest = digest.hexdigest()
        return found


def _session(path: Path, sizes: Sizes, messages: int) -> Config:
    """Writes the session of the demo as a capture, one message a frame; gives the configuration of the demo."""
    session = list(blocks(SessionOptions(seed=1, symbols=min(SYMBOLS, sizes.slots), messages=messages)))
    packer = Packer(per_packet=1)
    with pcap.open_writer(path) as writer:
        for block in session:
            for time_ns, frame in packer.pack(block):
                writer.write(time_ns, frame)
    derived = derive_config(
        lambda: (m for block in session for m in block), sizes, Selection(top=min(SYMBOLS, sizes.slots))
    )
    return replace(demo_config(derived), feed=Input(path).identity().row())


def _timed(device: Device, config: Config, path: Path) -> Iterator[tuple[Piece, int]]:
    """Pieces, and the processor time that each took."""
    device.load(config)
    side = DeviceSide(config, MINIMUM_GAP_CYCLES, 0)
    before = 0
    for piece in side.pieces(device, ((frames, None) for frames in Input(path).batches())):
        yield piece, side.busy_ns - before
        before = side.busy_ns


def main(arguments: Sequence[str]) -> int:
    """Prints the figures, a line a library; 1 where the libraries differ in what they compute."""
    sizes = sizes_named(DEFAULT_SIZE)
    libraries = [Path(text).absolute() for text in arguments] or [build.shared_object(sizes)]
    found = measure(libraries, sizes)
    for measured in found:
        rates = measured.rates
        ratio = median(rate / other for rate, other in zip(rates, found[0].rates, strict=True))
        print(
            f"{median(rates):,.0f} messages/s (median of {len(rates)} pieces, {min(rates):,.0f} to {max(rates):,.0f}), "
            f"{ratio:.3f} times the first, output {measured.digest[:16]}: {measured.library}"
        )
    return int(len({measured.digest for measured in found}) > 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

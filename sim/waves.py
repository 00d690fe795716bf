"""The waveform of one order's journey: a VCD of the cycles around it, and a save file that shows it in GTKWave."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tickgate.sim.device import MINIMUM_GAP_CYCLES, Device, DeviceError
from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.files.packer import Frames
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.events import TRACES
from tickgate.sw.spec.sizes import Sizes

#: Frames in front of the order's own that the waveform shows.
LEAD_FRAMES = 3

#: What the viewer shows, in the order of the pipeline.
SHOWN = (
    ("wire in", ("i_a__valid", "i_a__payload")),
    *((stage, (f"trace_{stage}__valid", f"trace_{stage}__payload")) for stage in TRACES),
    ("order out", ("o_orders__valid", "o_orders__ready", "o_orders__payload")),
)


def write_journey(
    path: Path,
    sizes: Sizes,
    config: Config,
    batches: Iterable[Frames],
    number: int,
    order: bytes,
    gap: int = MINIMUM_GAP_CYCLES,
) -> Path:
    """Writes `path` (VCD) and a save file beside it, of one frame and the order that it makes leave.

    Parameters
    ----------
    batches: frames from the beginning of the session, so that the device is in the state that it was in; host actions
        are not repeated.
    number: index of the frame that fires the order.
    order: bytes of that order.

    Returns the save file's path.

    Raises
    ------
    UserError: no space left. DeviceError: not this order left; nothing is written then.
    """
    lead = max(0, number - LEAD_FRAMES)
    partial = path.with_name(f".{path.name}.part")
    try:
        with Device(sizes, waves=True) as device:
            device.load(config)
            done = 0
            for frames in batches:
                shown = max(0, min(len(frames), lead - done))
                device.run(frames.select(0, shown), gap=gap)
                done += shown
                if shown < len(frames):
                    device.clear()
                    device.waves(partial)
                    device.run(frames.select(shown, shown + number + 1 - done), gap=gap)
                    device.drain()
                    device.waves(None)
                    break
            left = [frame for _, frame in device.frames()]
        if left[-1:] != [order]:
            raise DeviceError(f"frame {number} made {len(left)} orders leave, not the one of the comparison")
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    save = path.with_suffix(".gtkw")
    with atomic_output(save) as stream:
        stream.write(save_file(path).encode())
    return save


def signal_paths(vcd: Path) -> dict[str, tuple[str, int]]:
    """Name of each port of the device to (path in the VCD, width)."""
    scope: list[str] = []
    found: dict[str, tuple[str, int]] = {}
    with open(vcd, encoding="ascii", errors="replace") as file:
        for line in file:
            word = line.split()
            if not word:
                continue
            if word[0] == "$scope":
                scope.append(word[2])
            elif word[0] == "$upscope":
                scope.pop()
            elif word[0] == "$var":
                name = re.sub(r"\[.*", "", word[4])
                if name not in found:
                    found[name] = (".".join([*scope, name]), int(word[2]))
            elif word[0] == "$enddefinitions":
                break
    return found


def save_file(vcd: Path) -> str:
    """A GTKWave save file that shows the wire, each stage's trace, and the order port."""
    paths = signal_paths(vcd)
    lines = [f'[dumpfile] "{vcd.name}"', "[timestart] 0", "[size] 1600 800", "*-6 0 -1", "[sst_expanded] 1"]
    for title, names in SHOWN:
        lines += ["@200", f"-{title}"]
        for name in names:
            if name in paths:
                path, width = paths[name]
                lines += ["@28" if width == 1 else "@22", path if width == 1 else f"{path}[{width - 1}:0]"]
    return "\n".join([*lines, ""])

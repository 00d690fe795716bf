"""Compiles devices in a process of its own, so that what needs them later finds them in the cache.

`python -m tickgate.sim.demo_build SLOTS ORDERS LEVELS STASH KIND...`, kinds `plain` and `waves`, one after the other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from tickgate.sim import build
from tickgate.sw.spec.sizes import Sizes

KINDS = ("plain", "waves")


def main(arguments: Sequence[str]) -> int:
    """Compiles what the arguments name."""
    (*numbers,) = (int(text) for text in arguments[:4])
    for kind in arguments[4:]:
        build.shared_object(Sizes(*numbers), waves=kind == "waves")
    return 0


class BackgroundBuild:
    """A compilation under way; leaving the block ends it.

    A failure is not told here: whoever asks for the device afterwards builds it and meets the reason.

    Parameters
    ----------
    sizes: of the devices. kinds: of `KINDS`, in the order wanted.
    """

    def __init__(self, sizes: Sizes, kinds: Sequence[str]):
        words = [str(n) for n in (sizes.slots, sizes.orders, sizes.levels, sizes.stash)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *words, *kinds],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # compilers and all end together
        )

    def __enter__(self) -> BackgroundBuild:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self) -> None:
        """Returns when it has ended."""
        self._process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Unmodified programs that answer in our place: an echo of DPDK and one of the kernel's own AF_XDP sample.

A peer runs on the far end of a veth pair. It spins, so that it is stopped (SIGSTOP) while others are measured.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickgate.drivers.errors import PortError
from tickgate.drivers.netns import Namespace

#: How long a peer gets before it must still be running, in seconds.
SETTLE_S = 1.0
_TESTPMD = (
    "--no-huge -m 64 --no-pci --no-telemetry --file-prefix {prefix} --lcores 0@{main_cpu},1@{cpu} "
    "--vdev net_af_xdp0,iface={interface},force_copy=1 -- "
    "--forward-mode=macswap --auto-start --port-topology=loop --total-num-mbufs=8192"
)
#: Where DPDK makes a folder by the name of the prefix: of root, and of a user.
_RUNTIME = ("/run", "/var/run", os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
_XDPSOCK = "-l -i {interface} -q 0 -S -c"


@dataclass(frozen=True)
class Peer:
    """A peer: `program` as it is on the PATH, its `arguments`, and `where` to get it."""

    name: str
    label: str
    program: str
    arguments: str
    where: str

    @contextmanager
    def started(self, space: Namespace, interface: str, file: str, cpu: int | None) -> Iterator[Program]:
        """The peer on an interface, stopped; killed at the end, and with this process.

        Raises: PortError where it does not stay up, with its last line.
        """
        places: dict[str, Any] = {
            "interface": interface, "prefix": f"tickgate-bench-{os.getpid()}", "cpu": cpu or 0,
            "main_cpu": min(os.sched_getaffinity(0)),
        }  # fmt: skip
        words = [file, *self.arguments.format(**places).split()]
        if self.program == "xdpsock" and cpu is not None:
            words = ["taskset", "-c", str(cpu), *words]
        with tempfile.TemporaryFile() as said:
            process = space.popen(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip
            try:
                end = time.monotonic() + SETTLE_S
                while time.monotonic() < end:
                    if process.poll() is not None:
                        said.seek(0)
                        lines = said.read().decode(errors="replace").split("\n")
                        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")
                        raise PortError(f"{self.program} ended at once with status {process.returncode}: {last}")
                    time.sleep(0.05)
                program = Program(process)
                program.rest()
                yield program
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate()
                for folder in _RUNTIME:  # a DPDK program that is killed leaves its files there
                    shutil.rmtree(Path(folder) / "dpdk" / places["prefix"], ignore_errors=True)


class Program:
    """A started peer."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def rest(self) -> None:
        """Stop it, so that it takes no CPU."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGSTOP)

    def work(self) -> None:
        """Let it go on.

        Raises: PortError where it has ended.
        """
        if self._process.poll() is not None:
            raise PortError(f"the peer ended by itself with status {self._process.returncode}")
        os.kill(self._process.pid, signal.SIGCONT)


PEERS = (
    Peer("testpmd", "dpdk-testpmd, macswap", "dpdk-testpmd", _TESTPMD, "Debian package dpdk-dev, or build DPDK"),
    Peer("xdpsock", "xdpsock -l", "xdpsock", _XDPSOCK, "build AF_XDP-example of xdp-project/bpf-examples"),
)


def found_peers(named: dict[str, str]) -> dict[str, str]:
    """The file of each peer that is there: the one that was named for it, else that of the PATH.

    Raises: ValueError where a named one is no program, or is for no peer.
    """
    known = {peer.name for peer in PEERS}
    for name, file in named.items():
        if name not in known:
            raise ValueError(f"there is no peer {name!r}; the peers are: {', '.join(sorted(known))}")
        if not (Path(file).is_file() and os.access(file, os.X_OK)):
            raise ValueError(f"{file} is not a program that can be run")
    found = {peer.name: named.get(peer.name) or shutil.which(peer.program) for peer in PEERS}
    return {name: os.path.abspath(file) for name, file in found.items() if file}

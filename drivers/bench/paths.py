"""What the benchmark measures: every path from a port to something that answers, with the interfaces that it needs.

All interfaces lie in two network namespaces of the run, which go with its process. Where those cannot be made, UDP
sockets meet on the loopback interface, shared memory needs none, and every other path tells what is missing.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from tickgate.drivers.bench.peers import PEERS, Peer
from tickgate.drivers.errors import PortError
from tickgate.drivers.netns import Namespace, veth_pair
from tickgate.drivers.port import Port

#: Bytes of the Ethernet, IPv4 and UDP headers: a datagram is so much shorter than its frame.
UDP_HEADERS = 42
#: Of the local experimental EtherType.
ETHERTYPE = b"\x88\xb5"
RING = 1024
BASELINE = "udp"

Link = Literal["memory", "veth", "tap", "loopback"]


@dataclass(frozen=True)
class Kind:
    """A path by name: `backend` of the near port over `link`; `peer`: the program that answers, else a port does."""

    name: str
    label: str
    backend: str
    link: Link
    wait_ms: int = 0
    peer: Peer | None = None


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("udp", "UDP socket, spinning", "udp", "veth"),
        Kind("udp-blocking", "UDP socket, blocking", "udp", "veth", wait_ms=100),
        Kind("packet", "AF_PACKET", "packet", "veth"),
        Kind("xdp-skb", "AF_XDP, generic mode", "xdp-skb", "veth"),
        Kind("xdp-drv", "AF_XDP, native mode", "xdp-drv", "veth"),
        Kind("tap-packet", "TAP and AF_PACKET", "packet", "tap"),
        Kind("tap-xdp", "TAP and AF_XDP, native mode", "xdp-drv", "tap"),
        Kind("shm", "shared memory", "shm", "memory"),
        *(Kind(peer.name, peer.label, "xdp-skb", "veth", peer=peer) for peer in PEERS),
    )
}


@dataclass
class Path:
    """A path that is ready, or `missing` with the reason why it is not.

    Members: ``near``, the port that sends; what answers: ``far``, a port, or ``fd``, of a TAP, or ``program``, a
    started peer; ``overhead_bytes``, what the link adds to a frame of the port; ``link``, the one really used.
    """

    kind: Kind
    link: Link
    near: Port | None = None
    far: Port | None = None
    fd: int = -1
    program: Any = None
    overhead_bytes: int = 0
    missing: str | None = None
    head: bytes = field(default=b"\x02\0\0\0\0\x02" + b"\x02\0\0\0\0\x01" + ETHERTYPE)

    @property
    def mode(self) -> str:
        """What the near port really got."""
        return self.near.mode if self.near is not None else ""


class Bench:
    """The paths of a run by name; a context manager that removes all that it made.

    Parameters: ``names``, of `KINDS`; ``programs``, the file of each peer that was found; ``far_cpu``, where peers run.
    """

    def __init__(self, names: list[str], programs: dict[str, str], far_cpu: int | None = None) -> None:
        self.names, self.programs, self.far_cpu = names, programs, far_cpu
        self.paths: dict[str, Path] = {}
        self._held = ExitStack()
        self._numbers = count()
        self._spaces: tuple[Namespace, Namespace] | None = None
        self._no_spaces = ""

    def __enter__(self) -> Bench:
        try:
            if any(KINDS[name].link != "memory" for name in self.names):
                self._make_spaces()
            for name in self.names:
                self.paths[name] = self._open(KINDS[name])
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def _make_spaces(self) -> None:
        try:
            near = self._held.enter_context(Namespace())
            self._spaces = (near, self._held.enter_context(Namespace()))
        except PortError as error:
            self._no_spaces = _one_line(error)

    def _open(self, kind: Kind) -> Path:
        path = Path(kind, kind.link)
        if kind.peer is not None and kind.name not in self.programs:
            path.missing = f"{kind.peer.program} is not on the PATH: {kind.peer.where}"
            return path
        with ExitStack() as trying:
            try:
                self._join(path, trying)
            except PortError as error:
                path.missing = _one_line(error)
                return path
            self._held.push(trying.pop_all())
        return path

    def _join(self, path: Path, held: ExitStack) -> None:
        kind = path.kind
        if kind.link == "memory":
            path.near, path.far = (held.enter_context(port) for port in Port.pair(ring=RING))
        elif kind.backend == "udp":
            self._join_udp(path, held)
        elif self._spaces is None:
            raise PortError(self._no_spaces)
        elif kind.link == "tap":
            name = f"bt{next(self._numbers)}"
            path.fd = self._spaces[0].tap(name)
            held.callback(os.close, path.fd)
            path.near = self._port(0, name, kind, held)
        else:
            near, far = self._veth()
            path.near = self._port(0, near, kind, held)
            path.head = self._mac(1, far) + self._mac(0, near) + ETHERTYPE
            if kind.peer is not None:
                path.program = held.enter_context(
                    kind.peer.started(self._spaces[1], far, self.programs[kind.name], self.far_cpu)
                )
            else:
                path.far = self._port(1, far, kind, held)

    def _veth(self) -> tuple[str, str]:
        assert self._spaces is not None
        number = next(self._numbers)
        names = (f"ba{number}", f"bb{number}")
        veth_pair((self._spaces[0], names[0]), (self._spaces[1], names[1]))
        return names

    def _mac(self, end: int, name: str) -> bytes:
        assert self._spaces is not None
        with self._spaces[end].entered():
            return _mac(name)

    def _port(self, end: int, name: str, kind: Kind, held: ExitStack) -> Port:
        assert self._spaces is not None
        with self._spaces[end].entered():
            return held.enter_context(Port.open(name, backend=kind.backend, ring=RING, wait_ms=kind.wait_ms))

    def _join_udp(self, path: Path, held: ExitStack) -> None:
        path.overhead_bytes = UDP_HEADERS
        options: dict[str, Any] = {"backend": "udp", "ring": RING, "wait_ms": path.kind.wait_ms}
        if self._spaces is None:
            path.link = "loopback"
            one, two = _free_udp_ports()
            here, there = ("127.0.0.1", one), ("127.0.0.1", two)
            path.near = held.enter_context(Port.open(local=here, remote=there, **options))
            path.far = held.enter_context(Port.open(local=there, remote=here, **options))
            return
        names = self._veth()
        ends = [(f"10.{77 + int(names[0][2:])}.0.{end + 1}", 7000) for end in (0, 1)]
        for end in (0, 1):
            self._spaces[end].ip("addr", "add", f"{ends[end][0]}/24", "dev", names[end])
        ports = []
        for end in (0, 1):
            other = self._mac(1 - end, names[1 - end]).hex(":")
            self._spaces[end].ip("neigh", "replace", ends[1 - end][0], "lladdr", other, "dev", names[end])
            with self._spaces[end].entered():
                ports.append(held.enter_context(Port.open(local=ends[end], remote=ends[1 - end], **options)))
        path.near, path.far = ports


def _mac(name: str) -> bytes:
    """Address of an interface of the thread's namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, 0x8927, struct.pack("256s", os.fsencode(name)))  # SIOCGIFHWADDR
    return answer[18:24]


def _free_udp_ports() -> tuple[int, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
        for sock in (a, b):
            sock.bind(("127.0.0.1", 0))
        return a.getsockname()[1], b.getsockname()[1]


def _one_line(error: PortError) -> str:
    return "; ".join(str(error).splitlines())

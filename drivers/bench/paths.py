"""What the benchmark measures: every path from a port to something that answers, with the interfaces that it needs.

All interfaces lie in two network namespaces of the run, which go with its process. Where those cannot be made, UDP
sockets meet on the loopback interface, shared memory needs none, and every other path tells what is missing.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from tickgate.drivers.bench import pipeline
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
#: The path whose far end is to answer no slower than the peers do: all else is the same.
ECHO = "xdp-skb"
#: Numbers of DPDK's devices: a name is taken until the process ends.
_DEVICES = count()

#: Of a TAP's far end, which is no interface.
_FAR_MAC = "02:00:00:00:00:02"

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
        Kind("xdp-drv", "AF_XDP, native mode", "xdp-drv", "veth"),
        Kind(ECHO, "AF_XDP, generic mode", "xdp-skb", "veth"),
        *(Kind(peer.name, peer.label, "xdp-skb", "veth", peer=peer) for peer in PEERS),
        Kind("dpdk", "DPDK, net_af_xdp", "dpdk", "veth"),
        Kind("tap-udp", "TAP and UDP socket, spinning", "udp", "tap"),
        Kind("tap-packet", "TAP and AF_PACKET", "packet", "tap"),
        Kind("tap-xdp-skb", "TAP and AF_XDP, generic mode", "xdp-skb", "tap"),
        Kind("tap-xdp", "TAP and AF_XDP, native mode", "xdp-drv", "tap"),
        Kind("tap-dpdk", "TAP and DPDK, net_af_xdp", "dpdk", "tap"),
        Kind("shm", "shared memory", "shm", "memory"),
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


@dataclass
class Flow:
    """The software pipeline over a kind of path, up or `missing` with the reason."""

    kind: Kind
    link: Link
    running: pipeline.Pipeline | None = None
    missing: str | None = None

    @property
    def mode(self) -> str:
        """What the near ports really got."""
        return self.running.ends.feed.mode if self.running is not None else ""


class Bench:
    """The paths of a run by name; a context manager that removes all that it made.

    Parameters: ``names``, of `KINDS`; ``programs``, the file of each peer that was found; ``far_cpu``, where peers run;
    ``flows``, the kinds of path that the software pipeline is run over; ``messages`` of its session.
    """

    def __init__(
        self, names: list[str], programs: dict[str, str], far_cpu: int | None = None,
        flows: list[str] | None = None, messages: int = 0,
    ) -> None:  # fmt: skip
        self.names, self.programs, self.far_cpu = names, programs, far_cpu
        self.paths: dict[str, Path] = {}
        self.flows = {name: Flow(KINDS[name], KINDS[name].link) for name in flows or ()}
        self.messages = messages
        self._held = ExitStack()
        self._numbers = count()
        self._spaces: tuple[Namespace, Namespace] | None = None
        self._no_spaces = ""

    def __enter__(self) -> Bench:
        try:
            if any(KINDS[name].link != "memory" for name in (*self.names, *self.flows)):
                self._make_spaces()
            for name in self.names:
                self.paths[name] = self._open(KINDS[name])
            for flow in self.flows.values():
                self._start(flow)
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
        elif kind.backend == "udp" and kind.link != "tap":
            self._join_udp(path, held)
        elif self._spaces is None:
            raise PortError(self._no_spaces)
        elif kind.link == "tap":
            number = next(self._numbers)
            name = f"bt{number}"
            path.fd = self._spaces[0].tap(name)
            held.callback(os.close, path.fd)
            if kind.backend == "udp":
                path.overhead_bytes = UDP_HEADERS
                here, there = ((f"10.{77 + number}.0.{end}", 7000) for end in (1, 2))
                self._spaces[0].ip("addr", "add", f"{here[0]}/24", "dev", name)
                self._spaces[0].ip("neigh", "replace", there[0], "lladdr", _FAR_MAC, "dev", name)
                path.near = self._udp_port(0, {"backend": "udp", "ring": RING, "local": here, "remote": there}, held)
            else:
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
        options: dict[str, Any] = {"backend": kind.backend, "ring": RING, "wait_ms": kind.wait_ms}
        if kind.backend == "dpdk":
            return held.enter_context(_dpdk(self._spaces[end], name, options))
        with self._spaces[end].entered():
            return held.enter_context(Port.open(name, **options))

    def _join_udp(self, path: Path, held: ExitStack) -> None:
        path.overhead_bytes = UDP_HEADERS
        path.link, ends = self._udp_link(path.kind)
        path.near, path.far = (self._udp_port(end, ends[end], held) for end in (0, 1))

    def _udp_port(self, end: int, options: dict[str, Any], held: ExitStack) -> Port:
        with ExitStack() as inside:
            if self._spaces is not None:
                inside.enter_context(self._spaces[end].entered())
            return held.enter_context(Port.open(**options))

    def _udp_link(self, kind: Kind) -> tuple[Link, list[dict[str, Any]]]:
        """Where two sockets meet, and how the port of each end is opened."""
        link: Link = "loopback"
        if self._spaces is None:
            ends = [("127.0.0.1", port) for port in _free_udp_ports()]
        else:
            link, names = "veth", self._veth()
            ends = [(f"10.{77 + int(names[0][2:])}.0.{end + 1}", 7000) for end in (0, 1)]
            for end in (0, 1):
                self._spaces[end].ip("addr", "add", f"{ends[end][0]}/24", "dev", names[end])
            for end in (0, 1):
                other = self._mac(1 - end, names[1 - end]).hex(":")
                self._spaces[end].ip("neigh", "replace", ends[1 - end][0], "lladdr", other, "dev", names[end])
        return link, [
            {"backend": "udp", "ring": RING, "wait_ms": kind.wait_ms, "local": ends[end], "remote": ends[1 - end]}
            for end in (0, 1)
        ]

    def _start(self, flow: Flow) -> None:
        """The software pipeline behind two links of a kind."""
        with ExitStack() as trying:
            try:
                near, far, fds = [], [], []
                for _ in ("feed", "orders"):
                    port, options = self._flow_link(flow, trying)
                    near.append(port)
                    far.append(options)
                    fds += [options["fd"]] if "fd" in options else []
                space = self._spaces[1] if self._spaces is not None else None
                ends = pipeline.Ends(near[0], near[1], {"feed": far[0], "orders": far[1]}, space, tuple(fds))
                flow.running = trying.enter_context(pipeline.started(ends, self.messages, self.far_cpu))
            except PortError as error:
                flow.missing = _one_line(error)
                return
            self._held.push(trying.pop_all())

    def _flow_link(self, flow: Flow, held: ExitStack) -> tuple[Port, dict[str, Any]]:
        """The near port of one link, and how the far side opens its own."""
        kind = flow.kind
        if kind.link == "memory":
            fd = os.memfd_create("tickgate", 0)
            held.callback(os.close, fd)
            near = held.enter_context(Port.open(backend="shm", fd=fd, side="a", ring=RING))
            return near, {"backend": "shm", "fd": fd, "side": "b"}
        if kind.backend == "udp":
            flow.link, ends = self._udp_link(kind)
            return self._udp_port(0, ends[0], held), ends[1]
        if self._spaces is None:
            raise PortError(self._no_spaces)
        near_name, far_name = self._veth()
        port = self._port(0, near_name, kind, held)
        return port, {"name": far_name, "backend": kind.backend, "ring": RING}


@contextmanager
def _dpdk(space: Namespace, interface: str, options: dict[str, Any]) -> Iterator[Port]:
    """A port of DPDK on an interface. Its libraries look for that in the namespace of the thread, at the end too."""
    with space.entered(), _standard_error_closed():
        port = Port.open(f"net_af_xdp{next(_DEVICES)},iface={interface},force_copy=1", **options)
    try:
        yield port
    finally:
        with space.entered(), _standard_error_closed():
            port.close()


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Without what C libraries write there: libxdp tells of programs that it does not find and does not need."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


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

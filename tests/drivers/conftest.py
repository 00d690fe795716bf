"""Joined ports of every backend, in namespaces that are gone afterwards."""

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from port_flow import need_rights, own_name

from tickgate.drivers import netns
from tickgate.drivers.port import Port

NEEDED = {"packet": ("sys_admin", "net_admin", "net_raw"), "xdp": ("sys_admin", "net_admin", "net_raw", "bpf")}
BACKENDS = ("shm", "udp", "packet", "xdp-skb", "xdp-drv")


class Joined:
    """Two ports that are connected, with what is behind them."""

    def __init__(self, backend: str, spaces: list[netns.Namespace], names: tuple[str, str]) -> None:
        self.backend, self.spaces, self.names = backend, spaces, names
        self.ports: list[Port] = []

    def open(self, end: int, **options: Any) -> Port:
        """Open one end (0 or 1) of an interface's backend."""
        with self.spaces[end].entered():
            port = Port.open(self.names[end], backend=self.backend, **{"ring": 64, **options})
        self.ports.append(port)
        return port

    @property
    def a(self) -> Port:
        return self.ports[0]

    @property
    def b(self) -> Port:
        return self.ports[1]


@pytest.fixture
def spaces() -> Iterator[list[netns.Namespace]]:
    """Two namespaces."""
    need_rights("sys_admin", "net_admin")
    with netns.Namespace() as a, netns.Namespace() as b:
        yield [a, b]


@pytest.fixture
def veth(spaces: list[netns.Namespace]) -> list[netns.Namespace]:
    """Two namespaces with the interfaces va and vb between them."""
    netns.veth_pair((spaces[0], "va"), (spaces[1], "vb"))
    return spaces


def udp_ports(count: int = 2) -> list[int]:
    """Numbers of UDP ports that are free now."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for sock in held:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()


def close_all(ports: list[Port]) -> None:
    for port in ports:
        port.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def join(backend: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Joined]]:
    """A function that makes two joined ports of the backend, with options of `Port.open`; one call a test."""
    made: list[Joined] = []

    def make(**options: Any) -> Joined:
        options = {"ring": 64, **options}
        if backend == "shm":
            joined = Joined(backend, [], ("", ""))
            joined.ports.extend(Port.pair(**options))
        elif backend == "udp":
            one, two = udp_ports()
            joined = Joined(backend, [], ("", ""))
            for mine, theirs in ((one, two), (two, one)):
                at = {"local": ("127.0.0.1", mine), "remote": ("127.0.0.1", theirs)}
                joined.ports.append(Port.open(backend="udp", **at, **options))
        else:
            need_rights(*NEEDED[backend.partition("-")[0]])
            joined = Joined(backend, request.getfixturevalue("veth"), ("va", "vb"))
            joined.open(0, **options)
            joined.open(1, **options)
        made.append(joined)
        return joined

    yield make
    for joined in made:
        close_all(joined.ports)


@pytest.fixture
def joined(join: Callable[..., Joined]) -> Joined:
    return join()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No shared segment, named namespace or interface of the machine is left behind by a test."""

    yield
    mine = own_name("")
    folders = [folder for folder in ("/run/netns", "/dev/shm") if os.path.isdir(folder)]
    assert not [name for folder in folders for name in os.listdir(folder) if mine in name]
    assert not {"va", "vb", "t0", "t9", "renamed0"} & {name for _, name in socket.if_nameindex()}

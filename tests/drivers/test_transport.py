"""The same device calls over every kind of port, against the model at the other end."""

import threading
from collections.abc import Iterator

import pytest

from tickgate.drivers import transport
from tickgate.drivers.port import Port
from tickgate.drivers.transport import PortTransport
from tickgate.sw.host.device import Device
from tickgate.sw.host.transport import open_transport
from tickgate.sw.model.control import Control
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec import registers
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import Sizes


class Served(threading.Thread):
    """The model behind a port, in a thread of its own."""

    def __init__(self, port: Port):
        super().__init__(daemon=True)
        self.port, self.ends = port, threading.Event()
        self.registers = Registers(Sizes(slots=2, orders=256, levels=64, stash=4))
        self.control = Control(self.registers.read, self.registers.write)
        self.start()

    def run(self) -> None:
        while not self.ends.is_set():
            for frame in self.port.recv_burst(8):
                answer = self.control.frame(bytes(frame), self.registers.armed).frame
                frame.release()
                if answer:
                    self.port.send(answer.ljust(60, b"\0"))

    def stop(self) -> None:
        self.ends.set()
        self.join()
        self.port.close()


@pytest.fixture(params=("shm", "udp", "packet", "xdp"))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Served, PortTransport]]:
    kind = request.param
    if kind == "shm":
        port = Port.open("tickgate-transport", backend="shm", side="a", wait_ms=5)
        server = Served(port)
        client = open_transport("shm:tickgate-transport")
    elif kind == "udp":
        near, far = request.getfixturevalue("free_udp")
        port = Port.open("", backend="udp", local=("127.0.0.1", far), remote=("127.0.0.1", near), wait_ms=5)
        server = Served(port)
        mine = Port.open("", backend="udp", local=("127.0.0.1", near), remote=("127.0.0.1", far), wait_ms=5)
        client = PortTransport(mine)
    else:
        spaces = request.getfixturevalue("veth")
        with spaces[1].entered():
            server = Served(Port.open("vb", backend=kind, wait_ms=5))
        with spaces[0].entered():
            client = open_transport(f"{kind}:va")
    try:
        yield server, client
    finally:
        server.stop()
        client.close()


@pytest.fixture
def free_udp() -> list[int]:
    import socket

    held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in held:
        sock.bind(("127.0.0.1", 0))
    numbers = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return numbers


def test_device_over_a_port_reads_writes_and_kills(served):
    server, client = served
    device = Device(client, timeout_s=0.5)
    assert device.read("map_hash")["map_hash"] == registers.map_hash() and device.sizes.slots == 2
    for number in range(50):
        device.write("scratch", number)
        assert device.read("scratch")["scratch"] == number
    device.arm()
    assert device.status()["armed"] and server.registers.armed
    device.kill()
    assert not server.registers.armed
    assert server.control.counters["control_foreign"] == server.control.counters["control_malformed"] == 0


def test_receive_without_frames_ends_at_its_timeout(served):
    assert served[1].receive(0.02) == []


@pytest.mark.parametrize(
    ("via", "message"),
    (
        ("shm", "the transport shm needs NAME: shm:NAME"),
        ("xdp:", "the transport xdp needs INTERFACE"),
        ("packet:x@y", "BACKEND:NAME"),
        ("udp:nowhere", "udp takes ADDRESS:PORT"),
        ("udp:1.2.3.4:70000", "udp takes ADDRESS:PORT"),
    ),
)
def test_transport_with_a_wrong_argument_is_refused(via, message):
    with pytest.raises(UserError, match=message):
        open_transport(via)


def test_interface_gives_its_address_inside_its_namespace(veth):
    with veth[0].entered():
        veth[0].ip("link", "set", "va", "address", "02:00:00:00:00:77")
        assert transport.interface_mac("va") == 0x020000000077
        with open_transport("packet:va") as client:
            assert client.mac == 0x020000000077


def test_interface_without_an_address_gets_the_protocols_own():
    assert transport.interface_mac("no-such-interface") == transport.control.HOST_MAC
    assert transport.interface_mac("lo") == transport.control.HOST_MAC

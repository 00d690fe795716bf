"""Orders of the Verilated device over the kernel's TCP: the host logs in and hands over, the venue gets every byte."""

import time

import pytest
from firing_feed import SIZES, TOML, firing
from port_flow import need_rights
from tcp_venue import HOST, PORT, VENUE, Venue, joined

from tickgate.drivers.port import Port
from tickgate.sim.device import ORDERS_PORT
from tickgate.sim.device import Device as SimDevice
from tickgate.sim.transport import SimTransport
from tickgate.sw.host import handover
from tickgate.sw.host.device import Device, RowAt
from tickgate.sw.host.order_session import DeviceEngine, OrderSession
from tickgate.sw.spec import config_toml, rows, soup

COUNT = 40


@pytest.fixture
def wire():
    need_rights("sys_admin", "net_admin", "net_raw")
    with joined() as made:
        yield made


def test_orders_of_the_verilated_device_reach_the_kernels_tcp(wire):
    venue = Venue(wire.venue)
    config = config_toml.loads(TOML, SIZES)
    with wire.host.entered():
        sock = handover.connect(HOST, (VENUE, PORT))
        handover.login(sock, "user", "secret")
        numbers = handover.take_over(sock)
        port = Port.open(numbers.interface, backend="packet")
    wire.lose(1)
    sent = venue.stream
    with SimDevice(SIZES) as sim, port:
        sim.step(2000)
        device = Device(SimTransport(sim), timeout_s=5)
        device.apply(config)
        device.commit(RowAt(rows.FEED_ROW), config.feed)
        sim.drain()
        session = OrderSession(numbers, DeviceEngine(device), port.send)
        device.arm()
        feed = firing(COUNT)
        sim.clear()
        deadline = time.monotonic() + 60
        number = 0
        while (number < len(feed) or session.unacknowledged_bytes) and time.monotonic() < deadline:
            if number < len(feed):
                if number == COUNT // 2:
                    sim.inject(soup.build(soup.CLIENT_HEARTBEAT))
                sim.run(feed.select(number, number + 1))
                sim.drain()
                number += 1
                for _, frame in sim.frames(ORDERS_PORT):
                    port.send(frame.ljust(60, b"\0"))
                    session.sent(frame)
                    sent += frame[54:]
                sim.clear()
            for frame in port.recv_burst(32):
                session.received(bytes(frame))
                frame.release()
            session.poll()
        assert not session.closed and not session.unacknowledged_bytes
        assert device.read("orders", "injects") == {"orders": COUNT, "injects": 1}
    while len(venue.stream) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.01)
    venue.ends.set()
    venue.join()
    assert venue.stream == sent
    references = [int.from_bytes(p[4:8], "big") for p in soup.split(venue.stream)[0] if p[2:4] == b"UO"]
    assert references == list(range(1, COUNT + 1))

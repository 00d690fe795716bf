"""The simulated NIC as a process: frames in, orders out, control answers, programs that know nothing of it, its end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from firing_feed import TOML, firing
from port_flow import environment, need_rights, own_name, until

from tickgate.drivers.errors import PortError
from tickgate.drivers.port import Port
from tickgate.sim.nic.lock import LockClient
from tickgate.sim.nic.nic import Nic
from tickgate.sim.nic.transport import open_nic
from tickgate.sim.nic.wires import ROLES, Wires
from tickgate.sw.cli.main import main
from tickgate.sw.host.device import Device
from tickgate.sw.spec import control
from tickgate.sw.spec.errors import UserError

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")

NAME = own_name("nic")
NETNS = Path("/run/netns") / NAME
SEGMENT = own_name("lock")


@pytest.fixture(autouse=True)
def rights():
    need_rights("sys_admin", "net_admin", "net_raw")
    yield
    until(lambda: not NETNS.exists())
    until(lambda: not Path(f"/dev/shm/tickgate-{SEGMENT}").exists())  # it goes after the namespace
    assert not {*ROLES, *(f"dev_{role}" for role in ROLES)} & {name for _, name in socket.if_nameindex()}


@contextmanager
def running(*words, name=NAME):
    """`tickgate nic` as a process of its own, ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tickgate.sw.cli.main", "nic", "--size", "small", "--name", name, *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
    )  # fmt: skip
    try:
        process.told = [process.stdout.readline() for _ in range(3)]
        assert process.told[0].startswith("interfaces: "), "".join(process.told) + process.stdout.read()
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@contextmanager
def ports(*roles):
    """Ports on the user's ends, opened inside the named namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(NETNS, os.O_RDONLY)
    opened = []
    try:
        enter(there)
        opened = [Port.open(role, backend="packet") for role in roles]
        enter(here)
        yield opened
    finally:
        enter(here)
        for fd in (here, there):
            os.close(fd)
        for port in opened:
            port.close()


def enter(fd):
    import ctypes

    assert ctypes.CDLL(None).setns(fd, 0x40000000) == 0


def inside(*words, **options):
    return subprocess.run(
        ["ip", "netns", "exec", NAME, *words], capture_output=True, text=True, env=environment(), timeout=60, **options
    )


def burst(port):
    found = []
    for frame in port.recv_burst():
        found.append(bytes(frame))
        frame.release()
    return found


def send_all(port, frames):
    for _, frame in frames:
        until(lambda frame=frame: port.send(frame))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "firing.toml"
    path.write_text(TOML)
    return path


@pytest.mark.parametrize("link", ["veth", "tap"])
def test_frames_reach_the_device_orders_come_out_and_control_answers(config, link):
    feed = firing(10)
    words = ("--config", str(config), "--link", link)
    with running(*words) as process, open_nic(NAME) as transport, ports("feed_a", "orders") as ends:
        feed_a, orders = ends
        device = Device(transport, timeout_s=1)
        assert device.identity.sizes.slots == 4 and device.read("frames") == {"frames": 0}
        device.arm()
        send_all(feed_a, feed)
        until(lambda: device.read("frames")["frames"] == len(feed))
        came = []
        until(lambda: came.extend(burst(orders)) or len(came) >= 10)
        assert len(came) == len(set(came)) == device.read("orders")["orders"] == 10
        assert all(b"AAPL" in frame for frame in came)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        said = process.stdout.read()
        assert f"'feed_a': {len(feed)}" in said and "'orders': 10" in said and "lost {'feed_a': 0" in said


def test_line_b_is_the_same_feed(config):
    feed = firing(3)
    with running("--config", str(config)), open_nic(NAME) as transport, ports("feed_a", "feed_b", "orders") as ends:
        device = Device(transport, timeout_s=1)
        device.arm()
        send_all(ends[1], feed)
        until(lambda: device.read("frames")["frames"] == len(feed))
        send_all(ends[0], feed)  # what the other line brought already
        until(lambda: device.read("frames")["frames"] == 2 * len(feed))
        came = []
        until(lambda: came.extend(burst(ends[2])) or len(came) >= 3)
        assert device.read("orders")["orders"] == 3


class _Fed:
    """A device that notes what it is fed."""

    def __init__(self):
        self.fed = []

    def run(self, frames, *, gap, line):
        self.fed += [(line, frame) for _, frame in frames]


def test_both_lines_enter_in_turns():
    device = _Fed()
    nic = Nic(device, {})
    a, b = ([bytes([line]) * (64 + number) for number in range(count)] for line, count in ((0, 3), (1, 5)))
    nic.taken["feed_a"] += a
    nic.taken["feed_b"] += b
    nic.feed()
    assert device.fed == [(0, a[0]), (1, b[0]), (0, a[1]), (1, b[1]), (0, a[2]), (1, b[2]), (1, b[3]), (1, b[4])]
    assert (nic.statistics.into["feed_a"], nic.statistics.into["feed_b"]) == (3, 5)
    assert not nic.taken["feed_a"] and not nic.taken["feed_b"]


def test_both_lines_at_once_are_one_feed(config):
    feed = firing(20)
    with running("--config", str(config)), open_nic(NAME) as transport, ports("feed_a", "feed_b") as ends:
        device = Device(transport, timeout_s=1)
        device.arm()
        for _, frame in feed:
            for end in ends:
                until(lambda end=end, frame=frame: end.send(frame))
        until(lambda: device.read("frames")["frames"] == 2 * len(feed))
        until(lambda: device.read("orders")["orders"] == 20)
        assert device.read("gaps")["gaps"] == 0


def test_device_command_inside_the_namespace_reaches_it(config):
    with running():
        done = inside(sys.executable, "-m", "tickgate.sw.cli.main", "device", "status", "--via", "packet:control")
        assert done.returncode == 0, done.stderr
        assert "4 slots" in done.stdout and "killed: no order leaves" in done.stdout
        done = inside(
            sys.executable, "-m", "tickgate.sw.cli.main", "device", "limits", "apply", "--via", "packet:control",
            str(config),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_scapy_sends_to_it_and_tcpdump_shows_what_it_answers():
    scapy = """
from scapy.all import Ether, IP, UDP, Raw, conf, sendp
conf.verb = 0
sendp([Ether(dst="01:00:5e:00:00:01") / IP(dst="233.0.0.1") / UDP(dport=9) / Raw(bytes(40))] * 7, iface="feed_a")
"""
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is missing: install the Debian package tcpdump")
    with running(), open_nic(NAME) as transport:
        device = Device(transport, timeout_s=1)
        done = inside(sys.executable, "-c", scapy)
        assert done.returncode == 0, done.stderr
        until(lambda: device.read("frames")["frames"] == 7)
        with subprocess.Popen(
            ["ip", "netns", "exec", NAME, "tcpdump", "-i", "control", "-c", "3", "-n", "-e", "-l"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as dump:  # fmt: skip
            try:
                while "listening on control" not in dump.stderr.readline():
                    assert dump.poll() is None
                for _ in range(3):  # frames of a port pass the queueing discipline, where tcpdump looks, only inwards
                    device.read("now")
                said = dump.communicate(timeout=20)[0]
            finally:
                dump.kill()
        assert len(re.findall("0x88b5", said)) == 3, said


TESTPMD = (
    "--no-huge -m 64 --no-pci --no-telemetry --file-prefix {prefix} --vdev net_af_xdp0,iface={role},force_copy=1 -- "
    "--total-num-mbufs=8192 {words}"
)


@contextmanager
def forwarder(role, words):
    """An unmodified testpmd on a role's interface, forwarding; told to end by a line of input."""
    prefix = own_name(role)
    arguments = TESTPMD.format(prefix=prefix, role=role, words=words).split()
    process = subprocess.Popen(
        ["ip", "netns", "exec", NAME, "setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL", "dpdk-testpmd", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    late = threading.Timer(60, process.kill)
    late.start()
    try:
        lines = iter(process.stdout.readline, "")
        assert any("Press enter to exit" in line for line in lines), "it did not start"
        yield process
    finally:
        late.cancel()
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stdin.close()
        shutil.rmtree(f"/run/dpdk/{prefix}", ignore_errors=True)


def counted(process, what):
    """What testpmd counted of all its ports, once it was told to end."""
    said = process.communicate("\n", timeout=30)[0]
    return int(re.findall(rf"{what}-packets: (\d+)", said)[-1])


def test_testpmd_sends_to_it_and_counts_its_orders(config):
    if shutil.which("dpdk-testpmd") is None:
        pytest.skip("dpdk-testpmd is missing: install the Debian package dpdk-dev")
    need_rights("bpf")
    with running("--config", str(config)), open_nic(NAME) as transport:
        device = Device(transport, timeout_s=1)
        device.arm()
        with forwarder("orders", "--forward-mode=rxonly") as receiver:
            with forwarder("feed_a", "--forward-mode=io --tx-first --burst=32") as sender:
                until(lambda: device.read("frames")["frames"] == 32)
                assert counted(sender, "TX") == 32
            with ports("feed_b") as (feed_b,):
                send_all(feed_b, firing(10))
            until(lambda: device.read("orders")["orders"] == 10)
            time.sleep(0.5)
            assert counted(receiver, "RX") == 10


def test_kernel_answers_arp_and_ping_where_a_port_has_an_address():
    echo = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(10)
s.sendto(struct.pack("!BBHHH", 8, 0, 0xFFFF - 0x0800 - 7 - 1, 7, 1), ("192.0.2.1", 0))
while True:
    answer, (address, _) = s.recvfrom(200)
    kind, _, _, number, sequence = struct.unpack("!BBHHH", answer[20:28])
    if kind == 0:
        print(address, number, sequence)
        break
"""
    with running("--address", "orders=192.0.2.1/24"):
        assert inside("ip", "address", "add", "192.0.2.2/24", "dev", "orders").returncode == 0
        done = inside(sys.executable, "-c", echo)
        assert done.stdout == "192.0.2.1 7 1\n", done.stdout + done.stderr
        assert "192.0.2.1 dev orders lladdr" in inside("ip", "neighbour").stdout


@pytest.mark.parametrize("link", ["veth", "tap"])
def test_a_cable_that_is_pulled_and_plugged_in_again_ends_nothing(link):
    with running("--link", link) as process, open_nic(NAME) as transport, ports("feed_a") as (feed_a,):
        device = Device(transport, timeout_s=1)
        for role in ("feed_b", "orders"):
            assert inside("ip", "link", "set", role, "down").returncode == 0
        send_all(feed_a, firing(1))
        until(lambda: device.read("frames")["frames"] == 3)
        for role in ("feed_b", "orders"):
            assert inside("ip", "link", "set", role, "up").returncode == 0
        with ports("feed_b") as (feed_b,):
            send_all(feed_b, firing(1))
            until(lambda: device.read("frames")["frames"] == 6)
        assert process.poll() is None


@pytest.mark.parametrize("link", ["veth", "tap"])
def test_nothing_is_left_of_a_process_that_is_killed(link):
    with running("--lock", SEGMENT, "--link", link) as process:
        assert NETNS.exists() and Path(f"/dev/shm/tickgate-{SEGMENT}").exists()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        until(lambda: not NETNS.exists())
        until(lambda: not Path(f"/dev/shm/tickgate-{SEGMENT}").exists())
    with running("--lock", SEGMENT) as process:  # the name is free again at once
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_name_that_is_taken_is_refused_and_stays():
    with running():
        done = subprocess.run(
            [sys.executable, "-m", "tickgate.sw.cli.main", "nic", "--size", "small", "--name", NAME],
            capture_output=True, text=True, env=environment(), timeout=60,
        )  # fmt: skip
        assert done.returncode == 2 and f"there is a network namespace {NAME} already" in done.stderr
        time.sleep(0.2)
        with open_nic(NAME) as transport:
            assert Device(transport, timeout_s=1).read("frames") == {"frames": 0}


def locked(feed, config):
    """The (cycle, orders) that a client saw which grants cycles in small portions."""
    seen = []
    with running("--lock", SEGMENT, "--config", str(config)), ports("feed_a", "orders", "control") as ends:
        with LockClient(SEGMENT) as client:
            transport = _Locked(ends[2], client)
            device = Device(transport, timeout_s=5)
            device.arm()
            began = client.grant(0).cycle
            assert client.grant(0).cycle == began  # nothing passes by itself
            time.sleep(0.05)
            assert client.grant(0).cycle == began
            for _, frame in feed:
                assert ends[0].send(frame)
                answer = client.grant(7, feed_a=1)
                seen.append((answer.cycle - began, answer.orders, answer.missing))
                for _ in range(20):
                    answer = client.grant(5)
                    seen.append((answer.cycle - began, answer.orders, answer.missing))
            got = burst(ends[1])
            missing = client.grant(5, feed_a=1)
            assert missing.missing == 1 and missing.cycle == answer.cycle
    return seen, got


class _Locked:
    """Control frames to a NIC whose cycles this client grants."""

    name, mac = "locked", control.HOST_MAC

    def __init__(self, port, client):
        self.port, self.client = port, client

    def send(self, frame):
        assert self.port.send(frame.ljust(60, b"\0"))
        self.client.grant(400, control=1)

    def receive(self, timeout_s):
        found = []
        until(lambda: found.extend(burst(self.port)) or found)
        return found


def test_cycles_that_a_client_grants_are_the_same_each_time(config):
    first, second = locked(firing(4), config), locked(firing(4), config)
    assert first == second
    assert sum(orders for _, orders, _ in first[0]) == len(first[1]) == 4
    assert not any(missing for *_, missing in first[0])


def test_a_client_that_leaves_makes_room_for_the_next():
    def joined():
        try:
            return LockClient(SEGMENT)
        except PortError:
            return None

    with running("--lock", SEGMENT) as process:
        cycles = []
        for _ in range(3):
            with until(joined) as client:
                cycles += [client.grant(0).cycle, client.grant(100).cycle]
        assert cycles == [cycles[0] + 100 * n for n in (0, 1, 1, 2, 2, 3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_wires_are_gone_when_making_them_fails():
    with pytest.raises(UserError, match="is one of auto, packet, xdp"):
        Wires(name=NAME, backend="nonesuch")
    with pytest.raises(UserError), Wires(name=NAME, addresses={"orders": "nonsense"}):
        pass
    with pytest.raises(UserError, match="the device's end of a TAP is no interface"):
        Wires(name=NAME, link="tap", addresses={"orders": "192.0.2.1/24"})


@pytest.mark.parametrize("words, text", [
    (["--address", "venue=192.0.2.1/24"], "the roles are feed_a, feed_b, orders, control"),
    (["--address", "orders=here"], "--address takes ROLE=IP/LENGTH"),
    (["--mtu", "10"], "--mtu takes 68 or more"),
    (["--config", "/nowhere.toml"], "/nowhere.toml"),
])  # fmt: skip
def test_mistakes_are_told(words, text, capsys):
    assert main(["nic", "--size", "small", "--name", NAME, *words]) == 2
    assert text in capsys.readouterr().err


def test_transport_names_the_nic_that_does_not_run():
    with pytest.raises(UserError, match=rf"no simulated NIC is called {NAME}\nstart one: tickgate nic --name {NAME}"):
        open_nic(NAME)

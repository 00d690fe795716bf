"""The DPDK backend; each test in processes of its own, because DPDK's environment is made once a process."""

import importlib.util
import os
import re
import subprocess

import pytest
from port_flow import environment, frame, interpreter, need_rights, until

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")

HEAD = """
import sys, time
from tickgate.drivers import errors
from tickgate.drivers.port import Port
end = time.monotonic() + 40
def until(done):
    while not (result := done()):
        assert time.monotonic() < end, "this did not happen in time"
    return result
"""
# 5,000: more than there are slots behind those that wait to be received into.
AGAINST_OUR_OWN = (
    HEAD
    + """
d = Port.open("net_af_xdp0,iface=va,force_copy=1", backend="dpdk")
p = Port.open("vb", backend="xdp-skb")
print(d.mode, d.slots, flush=True)
for i in range(5000):
    data = bytes.fromhex(sys.argv[1]) + i.to_bytes(4, "big")
    assert d.send(data)
    got = until(p.recv_burst)
    assert bytes(got[0]) == data
    assert p.send_burst(got) == 1
    got = until(d.recv_burst)
    assert bytes(got[0]) == data
    if i % 2:
        assert d.send_burst(got) == 1  # a received frame goes out again
        assert bytes(until(p.recv_burst)[0]) == data
    else:
        kept = got[0]
        kept.release()
        try:
            bytes(kept)
        except errors.OwnershipError:
            pass
        else:
            raise AssertionError("a view outlived its frame")
d.check()
stats = d.stats()
print(stats.rx_frames, stats.tx_frames, stats.tx_dropped, flush=True)
try:
    d.send(bytes(1515))
except errors.FrameSizeError as error:
    print(error, flush=True)
(view,) = d.alloc(1, 64)
assert d.send_burst([view, view]) == 1
d.close()
try:
    Port.open("net_af_xdp1,iface=va,force_copy=1", backend="dpdk")
except errors.BusyError as error:
    print(error, flush=True)
print("fine", flush=True)
"""
)
ECHO = (
    HEAD
    + """
port = Port.open(sys.argv[1], backend="dpdk")
print("open", flush=True)
while time.monotonic() < end:
    try:
        port.send_burst(port.recv_burst())
    except errors.LinkDownError:
        time.sleep(0.01)
"""
)
PING = (
    HEAD
    + """
port = Port.open(sys.argv[1], backend="dpdk", wait_ms=1000)
def up():
    try:
        port.check()
    except errors.LinkDownError:
        time.sleep(0.01)
        return False
    return True
until(up)
for i in range(300):
    data = bytes.fromhex(sys.argv[2]) + i.to_bytes(4, "big")
    until(lambda: port.send(data))
    assert bytes(until(port.recv_burst)[0]) == data
print("fine", port.mode, flush=True)
"""
)
MEMIF = "net_memif0,role=ROLE,socket-abstract=no,socket={}"
DEVICE = (
    HEAD
    + """
import threading
from tickgate.drivers.transport import PortTransport
from tickgate.sw.host.device import Device
from tickgate.sw.host.transport import open_transport
from tickgate.sw.model.control import Control
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec.sizes import Sizes
registers = Registers(Sizes(slots=2, orders=256, levels=64, stash=4))
model = Control(registers.read, registers.write)
far = Port.open("vb", backend="packet", wait_ms=5)
ended = threading.Event()
def serve():
    while not ended.is_set():
        for frame in far.recv_burst(8):
            answer = model.frame(bytes(frame), registers.armed).frame
            frame.release()
            if answer:
                far.send(answer.ljust(60, b"\\0"))
served = threading.Thread(target=serve)
served.start()
try:
    with open_transport("dpdk:net_af_xdp0,iface=va,force_copy=1") as transport:
        print(hex(transport.mac), flush=True)
        device = Device(transport, timeout_s=2)
        for number in range(50):
            device.write("scratch", number)
            assert device.read("scratch")["scratch"] == number
        device.arm()
        assert device.status()["armed"] and registers.armed
        device.kill()
        assert not registers.armed
        assert model.counters["control_foreign"] == model.counters["control_malformed"] == 0
finally:
    ended.set()
    served.join()
    far.close()
print("fine", flush=True)
"""
)
NO_DEVICE = """
try:
    Port.open("net_nothing0", backend="dpdk")
except errors.PortError as error:
    print(error)
"""


@pytest.fixture
def dpdk():
    if importlib.util.find_spec("tickgate.drivers._dpdk") is None:
        pytest.skip("the DPDK backend is not built: Debian packages dpdk and libdpdk-dev, then make setup")
    yield
    # The folder of a process is there for a moment while it starts, also of one that another test has started.
    until(lambda: not [name for name in folders() if name.startswith("tickgate-")])


def folders():
    return os.listdir("/run/dpdk") if os.path.isdir("/run/dpdk") else []


def test_net_af_xdp_and_our_own_xdp_talk(dpdk, spaces):
    need_rights("net_raw", "bpf")
    from tickgate.drivers import netns

    netns.veth_pair((spaces[0], "va"), (spaces[0], "vb"))
    done = spaces[0].run(
        *interpreter(), "-c", AGAINST_OUR_OWN, frame(1, 60).hex(), env=environment(), timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "net_af_xdp 8191"
    assert lines[1] == "5000 7500 0"
    assert lines[2].startswith("dpdk on net_af_xdp0,iface=va,force_copy=1: a frame of 1515 bytes; from 14 to 1514")
    assert lines[-2] == "net_af_xdp gives va back only when the process ends that opened it"
    assert lines[-1] == "fine"


def test_device_calls_go_over_dpdk(dpdk, spaces):
    need_rights("net_raw", "bpf")
    from tickgate.drivers import netns

    netns.veth_pair((spaces[0], "va"), (spaces[0], "vb"))
    spaces[0].ip("link", "set", "va", "address", "02:00:00:00:00:77")
    done = spaces[0].run(*interpreter(), "-c", DEVICE, env=environment(), timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0x20000000077", "fine"]


@pytest.mark.parametrize(
    ("first", "second", "driver"),
    [
        (MEMIF.replace("ROLE", "server"), MEMIF.replace("ROLE", "client"), "memif"),
        ("net_vhost0,iface={}", "net_virtio_user0,path={}", "virtio_user"),
    ],
    ids=["memif", "vhost"],
)  # fmt: skip
def test_two_processes_talk(dpdk, tmp_path_factory, first, second, driver):
    socket_path = tmp_path_factory.mktemp("d") / "s"
    echo = subprocess.Popen(
        [*interpreter(), "-c", ECHO, first.format(socket_path)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert echo.stdout.readline() == "open\n"
        words = [*interpreter(), "-c", PING, second.format(socket_path), frame(1, 60).hex()]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"fine net_{driver}\n"
    finally:
        echo.kill()
        echo.communicate()


def test_a_device_that_dpdk_does_not_have_is_told(dpdk):
    program = HEAD + NO_DEVICE
    done = subprocess.run(
        [*interpreter(), "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(r"dpdk on net_nothing0: DPDK has no such device, or refuses it.*\nvirtual ones", done.stdout)


def test_an_installation_without_dpdk_says_how_to_get_it():
    program = (
        "import sys\n"
        "sys.modules['tickgate.drivers._dpdk'] = None\n"
        + HEAD
        + "\ntry:\n    Port.open('net_null0', backend='dpdk')\nexcept errors.UnsupportedError as e:\n    print(e)\n"
    )
    done = subprocess.run(
        [*interpreter(), "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert "no DPDK backend\ninstall Debian's dpdk and libdpdk-dev" in done.stdout

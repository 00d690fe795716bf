"""AF_XDP and AF_PACKET in particular: modes, times of receipt, TAPs, need-wakeup, what namespaces leave."""

import os
import subprocess
import time

import pytest
from port_flow import environment, frame, interpreter, need_rights, own_name, receive, until

from tickgate.drivers import errors, netns, tuning
from tickgate.drivers.port import Port

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")


@pytest.fixture
def rights():
    need_rights("sys_admin", "net_admin", "net_raw", "bpf")


@pytest.mark.parametrize(("backend", "mode"), [("xdp-skb", "generic, copy"), ("xdp-drv", "native, copy")])
def test_the_mode_that_was_really_got_is_told(rights, veth, backend, mode):
    with veth[0].entered(), Port.open("va", backend=backend, ring=64) as port:
        assert port.mode == mode
        attached = veth[0].ip("-details", "link", "show", "va")
        assert ("xdpgeneric" in attached) == (backend == "xdp-skb")
        assert "name tickgate" in attached
    assert "xdp" not in veth[0].ip("-details", "link", "show", "va")


def test_auto_takes_the_mode_that_suits_the_interface(rights, veth):
    tap = veth[0].tap("t0")
    with veth[0].entered(), Port.open("va", ring=64) as on_veth, Port.open("t0", ring=64) as on_tap:
        assert (on_veth.backend, on_veth.mode) == ("xdp", "generic, copy")
        assert (on_tap.backend, on_tap.mode) == ("xdp", "native, copy")
        assert on_veth.fallbacks == []
    os.close(tap)


@pytest.mark.parametrize("backend", ["xdp-skb", "xdp-drv", "packet"])
def test_times_of_receipt_are_the_kernels(rights, veth, backend):
    clock = {"packet": time.CLOCK_REALTIME}.get(backend, time.CLOCK_MONOTONIC)
    with veth[0].entered():
        a = Port.open("va", backend=backend, ring=64, stamps=True)
    with veth[1].entered():
        b = Port.open("vb", backend=backend, ring=64, stamps=True)
    assert b.stamp_clock == {"packet": "realtime"}.get(backend, "monotonic")
    last = 0
    for i in range(200):  # more than there are slots: a time is never an old one
        before = time.clock_gettime_ns(clock)
        a.send(frame(i))
        (got,) = until(b.recv_burst)
        assert before <= got.stamp <= time.clock_gettime_ns(clock)
        assert got.stamp > last
        last = got.stamp
        del got
    a.close()
    b.close()


@pytest.mark.parametrize("backend", ["xdp-skb", "xdp-drv"])
def test_without_stamps_there_are_none(rights, veth, backend):
    with veth[0].entered():
        a = Port.open("va", backend=backend, ring=64)
    with veth[1].entered():
        b = Port.open("vb", backend=backend, ring=64)
    a.send(frame(1))
    (got,) = until(b.recv_burst)
    assert got.stamp is None and b.stamp_clock == "none"
    del got
    a.close()
    b.close()


@pytest.mark.parametrize("backend", ["xdp-skb", "xdp-drv", "packet"])
def test_a_tap_is_the_other_end(rights, spaces, backend):
    tap = spaces[0].tap("t0")
    with spaces[0].entered():
        port = Port.open("t0", backend=backend, ring=64)
    for i in range(100):
        os.write(tap, frame(i, 60 + i))
        assert receive(port, 1) == [frame(i, 60 + i)]
        port.send(frame(i, 60 + i))

        def read():
            try:
                return os.read(tap, 4096)
            except BlockingIOError:
                return b""

        assert until(read) == frame(i, 60 + i)
    os.close(tap)
    with pytest.raises(errors.InterfaceGoneError):  # a TAP goes with its descriptor
        port.check()
    port.close()


def test_frames_for_the_kernel_reach_it_on_other_queues_only(rights, veth):
    # All that arrives on a queue with a port is the port's: the kernel does not answer.
    veth[0].ip("address", "add", "10.98.0.1/24", "dev", "va")
    veth[1].ip("address", "add", "10.98.0.2/24", "dev", "vb")
    assert veth[0].run("ip", "neigh", "show").stdout == ""
    with veth[1].entered(), Port.open("vb", backend="xdp-skb", ring=64) as port:
        asking = bytes.fromhex(
            "ffffffffffff 020000000001 0806 0001080006040001 020000000001 0a620001 000000000000 0a620002"
        )
        with veth[0].entered(), Port.open("va", backend="packet", ring=64) as asker:
            asker.send(asking)
            assert receive(port, 1) == [asking]
            time.sleep(0.05)
            assert asker.recv_burst() == []


def test_huge_pages_that_are_not_there_are_told(rights, veth):
    with open("/proc/sys/vm/nr_hugepages") as file:
        if int(file.read()):
            with veth[0].entered(), Port.open("va", backend="xdp", ring=64, huge_pages=True) as port:
                assert port.mode
            return
    with veth[0].entered(), pytest.raises(errors.LimitError, match=r"no 1 free huge pages.*\n.*vm.nr_hugepages=1"):
        Port.open("va", backend="xdp", ring=64, huge_pages=True)


def test_busy_polling_is_an_option(rights, veth):
    with veth[0].entered(), Port.open("va", backend="xdp-drv", ring=64, busy_poll_us=20) as port:
        assert port.recv_burst() == []


@pytest.mark.parametrize("backend", ["packet", "xdp-skb"])
def test_promiscuous_mode_ends_with_the_port(rights, veth, backend):
    def promiscuity():
        return int(veth[0].ip("-details", "link", "show", "va").split("promiscuity ")[1].split()[0])

    with veth[0].entered(), Port.open("va", backend=backend, ring=64, promiscuous=True):
        assert promiscuity() == 1
    until(lambda: promiscuity() == 0)


# Namespaces.


def test_a_namespace_goes_with_the_process_that_is_killed(rights):
    program = (
        "import os, time\n"
        "from tickgate.drivers import netns\n"
        "a = netns.Namespace(); b = netns.Namespace()\n"
        "netns.veth_pair((a, 'va'), (b, 'vb')); tap = a.tap('t0')\n"
        "print(os.fstat(a.fd).st_ino, flush=True)\n"
        "time.sleep(30)\n"
    )
    before = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    process = subprocess.Popen([*interpreter(), "-c", program], env=environment(), stdout=subprocess.PIPE, text=True)
    inode = process.stdout.readline().strip()
    assert inode.isdecimal()
    process.kill()
    process.communicate()

    def living():
        seen = set()
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                try:
                    seen.add(str(os.stat(f"/proc/{entry}/ns/net").st_ino))
                except OSError:
                    pass
        return seen

    assert inode not in living()
    assert subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout == before


def test_a_published_namespace_is_found_by_its_name_and_goes(rights):
    with netns.Namespace() as space:
        space.tap("t9")
        space.publish(own_name("space"))
        said = subprocess.run(["ip", "netns", "exec", own_name("space"), "ip", "link"], capture_output=True, text=True)
        assert "t9" in said.stdout
        with netns.Namespace() as other, pytest.raises(errors.PortError, match="there is a network namespace"):
            other.publish(own_name("space"))
    assert not os.path.exists(f"/run/netns/{own_name('space')}")


def test_offloads_are_off_so_that_frames_arrive_finished(rights, veth):
    # A kernel socket of the peer sends: with checksum offload the UDP checksum would be half done.
    for space, name, last in ((veth[0], "va", 1), (veth[1], "vb", 2)):
        space.ip("address", "add", f"10.99.0.{last}/24", "dev", name)
    veth[0].ip("neigh", "add", "10.99.0.9", "lladdr", "02:00:00:00:00:09", "dev", "va", "nud", "permanent")
    with veth[1].entered():
        port = Port.open("vb", backend="packet", ring=64)
    with veth[0].entered():
        sender = Port.open(backend="udp", local=("10.99.0.1", 5000), remote=("10.99.0.9", 5001))
    sender.send(b"checksummed")
    (got,) = [data for data in receive(port, 1) if data[12:14] == b"\x08\x00"]
    words = got[26:34] + b"\0\x11" + got[38:40] + got[34:] + (b"\0" if len(got) % 2 else b"")
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    sender.close()
    port.close()


# Tuning.


def test_tuning_is_undone():
    cpus, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    with tuning.tuned(cpu=min(cpus)):
        assert os.sched_getaffinity(0) == {min(cpus)}
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == (cpus, policy)


def test_wrong_tuning_is_told():
    for options, text in (({"cpu": 9999}, "cpu must be one of"), ({"priority": 99}, "priority must be from 0 to 49")):
        with pytest.raises(ValueError, match=text), tuning.tuned(**options):
            pass


def test_a_real_time_thread_that_spins_is_stopped(rights):
    program = (
        "import os\n"
        "from tickgate.drivers.tuning import tuned\n"
        "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "with tuned(priority=1, limit_s=0.3):\n"
        "    if os.fork() == 0:\n"
        "        os._exit(os.sched_getscheduler(0) != os.SCHED_OTHER)\n"
        "    print(os.wait()[1], flush=True)\n"
        "    while True:\n"
        "        pass\n"
    )
    done = subprocess.run(
        [*interpreter(), "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "0\n"  # a child is an ordinary process
    assert done.returncode in (-24, -9)  # SIGXCPU

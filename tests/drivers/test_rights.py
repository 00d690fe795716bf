"""What each backend needs, exactly: each right dropped in turn, and what works with the rest."""

import shutil
import subprocess
import sys

import pytest
from port_flow import environment, need_rights

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")

PROGRAM = """
import sys
from tickgate.drivers import errors, netns, tuning
from tickgate.drivers.port import Port
try:
    {body}
except errors.PortError as error:
    print(type(error).__name__, ",".join(getattr(error, "capabilities", ())))
    print(error)
else:
    print("fine")
"""
XDP_RIGHTS = ("net_raw", "net_admin", "bpf")
OPEN = "port = Port.open('va', backend='{backend}', ring=64); port.send(bytes(64)); print(port.backend, port.mode)"


@pytest.fixture(scope="module")
def setpriv() -> str:
    need_rights("sys_admin", "net_admin", "net_raw", "bpf")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: Debian package util-linux")
    return "setpriv"


def without(space, *rights, body):
    """What a program says that has all rights but these."""
    dropped = ",".join(f"-{right}" for right in rights)
    done = space.run(
        "setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}",
        sys.executable, "-c", PROGRAM.format(body=body), env=environment(), timeout=60,
    )  # fmt: skip
    return done.stdout


def ordinary(*rights):
    """The words before a command that runs it as nobody with these rights only; as root without the powers of root
    where nobody cannot read this interpreter."""
    granted = ",".join(["-all", *(f"+{right}" for right in rights)])
    limits = ["setpriv", f"--inh-caps={granted}", f"--ambient-caps={granted}"]
    nobody = [*limits, "--reuid=65534", "--regid=65534", "--clear-groups"]
    trial = [*nobody, sys.executable, "-c", "import tickgate.drivers._port"]
    if subprocess.run(trial, env=environment(), capture_output=True, check=False, cwd="/").returncode == 0:
        return nobody
    return [*limits, "--securebits=+noroot"]


def only(space, *rights, body):
    """What a program says that has only these rights."""
    done = space.run(
        *ordinary(*rights), sys.executable, "-c", PROGRAM.format(body=body), env=environment(), timeout=60, cwd="/"
    )
    return done.stdout


@pytest.mark.parametrize(
    ("backend", "right", "step"),
    [
        ("packet", "net_raw", "CAP_NET_RAW is missing"),
        ("xdp-skb", "net_raw", "CAP_NET_RAW is missing"),
        ("xdp-skb", "net_admin", "CAP_NET_ADMIN is missing"),
        ("xdp-drv", "net_admin", "CAP_NET_ADMIN is missing"),
        ("xdp-skb", "bpf", "CAP_BPF is missing"),
    ],
)
def test_each_missing_right_is_named_with_the_command_that_grants_it(setpriv, veth, backend, right, step):
    rights = [right, "sys_admin"]  # which stands for the others in bpf(2)
    said = without(veth[0], *rights, body=OPEN.format(backend=backend))
    assert said.startswith(f"MissingRightError {right}\n")
    assert step in said
    assert "sudo setcap cap_net_raw" in said and f"cap_{right}" in said


def test_frame_memory_above_the_limit_is_told(setpriv, veth):
    body = "Port.open('va', backend='xdp-skb', ring=8192, frame_bytes=4096)"
    said = without(veth[0], "ipc_lock", body=body)
    assert said.startswith("LimitError")
    assert "64.0 MiB of frame memory is more than this process may lock (CAP_IPC_LOCK is missing)" in said
    assert "ulimit -l 131072" in said and "setcap cap_ipc_lock+ep" in said


@pytest.mark.parametrize(
    ("backend", "rights"), [("packet", ["net_raw"]), ("xdp-skb", [*XDP_RIGHTS]), ("xdp-drv", [*XDP_RIGHTS])]
)
def test_these_rights_are_enough(setpriv, veth, backend, rights):
    assert only(veth[0], *rights, body=OPEN.format(backend=backend)).endswith("fine\n")
    for right in rights:
        left = [other for other in rights if other != right]
        assert only(veth[0], *left, body=OPEN.format(backend=backend)).startswith("MissingRightError")


def test_auto_takes_what_the_rights_allow(setpriv, veth):
    assert only(veth[0], *XDP_RIGHTS, body=OPEN.format(backend="auto")).startswith("xdp generic, copy")
    assert only(veth[0], "net_raw", body=OPEN.format(backend="auto")).startswith("packet TPACKET_V2")
    assert only(veth[0], body=OPEN.format(backend="auto")).startswith("MissingRightError net_raw\nxdp on va")


def test_udp_and_shared_memory_need_no_right(setpriv, veth):
    body = "; ".join(
        [
            "a, b = Port.pair()",
            "a.send(b'x' * 64)",
            "assert [bytes(f) for f in b.recv_burst()] == [b'x' * 64]",
            "u = Port.open(backend='udp', local=('127.0.0.1', 0), wait_ms=10)",
            "u.recv_burst()",
        ]
    )
    assert only(veth[0], body=body) == "fine\n"


def test_a_low_udp_port_needs_its_right(setpriv, veth):
    body = "Port.open(backend='udp', local=('127.0.0.1', 99))"
    said = only(veth[0], body=body)
    assert said.startswith("MissingRightError net_bind_service") and "cap_net_bind_service+ep" in said


def test_a_user_namespace_has_packet_but_not_xdp(setpriv, veth):
    make = 'ip link add va type veth peer name vb && ip link set va up && ip link set vb up && exec "$@"'

    def inside(backend):
        program = PROGRAM.format(body=OPEN.format(backend=backend))
        # Whoever makes it: inside, every right is one over the namespace alone.
        words = ["unshare", "-Urn", "sh", "-c", make, "sh"]
        words += [sys.executable, "-c", program]
        return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=True).stdout

    assert inside("packet").endswith("fine\n")
    said = inside("xdp-skb")
    assert said.startswith("MissingRightError bpf") and "only inside its user namespace" in said
    assert "use backend='packet' here" in said
    assert inside("auto").startswith("packet TPACKET_V2")


def test_namespaces_taps_and_priority_name_their_rights(setpriv, veth):
    said = without(veth[0], "sys_admin", body="netns.Namespace()")
    assert said.startswith("MissingRightError sys_admin") and "unshare -Urn" in said
    said = without(veth[0], "net_admin", body="netns.open_tap('t0')")
    assert said.startswith("MissingRightError net_admin")
    body = "tuning.tuned(priority=10).__enter__()"
    said = without(veth[0], "sys_nice", body=body)
    assert said.startswith("MissingRightError sys_nice") and "ulimit -r 10" in said

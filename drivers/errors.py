"""What can go wrong with a port: each error says what was missing and how to mend it.

Every error is a `PortError`, and so a `UserError`: a command prints it in two lines. ``errno`` and ``step`` tell what
the kernel said to which step.
"""

import errno
import os
import re
import sys
from pathlib import Path

from tickgate.sw.spec.errors import UserError

# Numbers of linux/capability.h.
CAPABILITIES = {"net_bind_service": 10, "net_admin": 12, "net_raw": 13, "ipc_lock": 14, "sys_nice": 23, "bpf": 39}
_GENERIC, _NATIVE = 2, 4  # attach flags of linux/if_link.h: XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE


class PortError(UserError):
    """Base of all errors of ports; ``errno`` is 0 where no system call failed."""

    errno: int = 0
    step: str = ""


class MissingRightError(PortError):
    """A capability is missing; ``capabilities`` names it ("net_raw")."""

    capabilities: tuple[str, ...] = ()


class UnsupportedError(PortError):
    """The kernel, the interface or this installation lacks what was asked for."""


class LimitError(PortError):
    """A limit of memory is too low: locked memory, huge pages, shared memory."""


class InterfaceMissingError(PortError):
    """No interface of that name in this network namespace."""


class InterfaceGoneError(PortError):
    """The interface was deleted, or left the namespace: the port must be closed."""


class LinkDownError(PortError):
    """The interface is down; the port works again when it is up."""


class QueueError(PortError):
    """The interface has no such queue, or cannot feed it."""


class BusyError(PortError):
    """Someone else has the queue, the interface's XDP program, or the side of a shared segment."""


class MtuError(PortError):
    """The MTU of the interface is too large for the mode."""


class FrameSizeError(PortError):
    """A frame is shorter or longer than the link takes."""


class OwnershipError(PortError):
    """A frame was used after it was released or sent, or twice."""


class ClosedError(PortError):
    """The port is closed."""


class PeerMissingError(PortError):
    """Nobody has made the shared segment yet, or who made it must do so again."""


class PeerGoneError(PortError):
    """The other side died or closed: close the port and open it again."""


def effective_capabilities() -> set[str]:
    """Those of `CAPABILITIES` that this thread has in force."""
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            mask = int(line.split()[1], 16)
            return {name for name, bit in CAPABILITIES.items() if mask >> bit & 1}
    return set()


def in_initial_user_namespace() -> bool:
    """Whether the process's rights are those of the machine, not of a user namespace of its own."""
    try:
        return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    except OSError:
        return True


# Which rights a step needs where the kernel answers EPERM or EACCES.
_RIGHTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("packet", "socket"): ("net_raw",),
    ("packet", "promiscuous"): ("net_raw",),
    ("packet", "busy poll"): ("net_admin",),
    ("xdp", "socket"): ("net_raw",),
    ("xdp", "promiscuous"): ("net_raw",),
    ("xdp", "bpf map"): ("bpf", "net_admin"),
    ("xdp", "bpf program"): ("bpf", "net_admin"),
    ("xdp", "attach"): ("net_admin",),
    ("xdp", "bind"): ("net_raw",),
    ("xdp", "busy poll"): ("net_admin",),
    ("udp", "bind"): ("net_bind_service",),
    ("udp", "bind to interface"): ("net_raw",),
    ("udp", "busy poll"): ("net_admin",),
}
# What a backend needs in all, for the command that grants it.
_ALL_RIGHTS = {
    "packet": ("net_raw",),
    "xdp": ("net_raw", "net_admin", "bpf"),
    "udp": ("net_raw", "net_admin", "net_bind_service"),
}


def grant_command(capabilities: tuple[str, ...] | list[str]) -> str:
    """A command that gives a user's interpreter these capabilities."""
    names = ",".join(f"cap_{name}" for name in capabilities)
    return f"sudo setcap {names}+ep {os.path.realpath(sys.executable)}"


def _missing_right(family: str, step: str, what: str) -> PortError:
    needed = _RIGHTS.get((family, step), _ALL_RIGHTS.get(family, ()))
    have = effective_capabilities()
    lacking = tuple(name for name in needed if name not in have)
    error: PortError
    if needed and not lacking and not in_initial_user_namespace():
        error = MissingRightError(
            f"{what}: this process has CAP_{'/CAP_'.join(n.upper() for n in needed)} only inside its user namespace\n"
            "the kernel wants it on the machine itself: use backend='packet' here, or run outside the namespace"
        )
        lacking = needed
    else:
        lacking = lacking or needed
        also = "" if set(lacking) == set(_ALL_RIGHTS.get(family, ())) else f" ({family} needs {_words(family)} in all)"
        error = MissingRightError(
            f"{what}: the right {' and '.join('CAP_' + n.upper() for n in lacking)} is missing{also}\n"
            f"grant it: {grant_command(_ALL_RIGHTS.get(family, lacking) if family != 'udp' else lacking)}"
        )
    error.capabilities = lacking
    return error


def _words(family: str) -> str:
    return ", ".join("CAP_" + name.upper() for name in _ALL_RIGHTS[family])


def _memory(name: str, step: str, detail: int, what: str) -> PortError:
    size = f"{detail / (1 << 20):.1f} MiB"
    if step == "umem":
        return LimitError(
            f"{what}: {size} of frame memory is more than this process may lock (CAP_IPC_LOCK is missing)\n"
            f"use a smaller ring, raise the limit (ulimit -l {max(1, detail >> 10) * 2}), or:\n"
            + grant_command(["ipc_lock"])
        )
    if step == "huge pages":
        pages = -(-detail // (2 << 20))
        return LimitError(
            f"{what}: no {pages} free huge pages of 2 MiB\n"
            f"reserve them: sudo sysctl vm.nr_hugepages={pages}, or leave huge_pages out"
        )
    if step == "segment":
        return LimitError(f"{what}: no room for {size} in /dev/shm\nfree some (ls /dev/shm), or use a smaller ring")
    return LimitError(f"{what}: no memory for {step} ({size})\nuse a smaller ring")


def _attach(name: str, error: int, detail: int, what: str) -> PortError | None:
    mode = "native" if detail & _NATIVE else "generic"
    if error == errno.EBUSY:
        return BusyError(
            f"{what}: another program has attached XDP to {name}, or a port of this process in another mode\n"
            f"see: ip -details link show {name}; remove it: ip link set {name} xdp off (its owner must close a link)"
        )
    if error == errno.EOPNOTSUPP:
        return UnsupportedError(
            f"{what}: the driver of {name} has no {mode} XDP\nuse backend='xdp-skb' (generic mode works everywhere)"
        )
    if error == errno.ENOSPC:
        return QueueError(
            f"{what}: the peer of {name} has more transmit queues than {name} has receive queues, so that native XDP "
            "cannot be attached\n"
            "make the pair with as many on both sides (ip link add ... numrxqueues N numtxqueues N), or use 'xdp-skb'"
        )
    if error in (errno.ERANGE, errno.EINVAL):
        return MtuError(
            f"{what}: the MTU of {name} is too large for {mode} XDP (a veth takes at most 3506)\n"
            f"lower it: ip link set {name} mtu 1500, and its peer too"
        )
    return None


def _dpdk(step: str, error: int, what: str) -> PortError:
    said = os.strerror(error)
    if step == "environment":
        return UnsupportedError(
            f"{what}: DPDK's environment does not start: {said}\nsee what it printed; its drivers are in Debian's dpdk"
        )
    if step == "buffers":
        return LimitError(f"{what}: no memory for the buffers: {said}\nclose another port of this process first")
    if step == "device":
        return UnsupportedError(
            f"{what}: DPDK has no such device, or refuses it: {said}\n"
            "virtual ones: net_af_xdp0,iface=IF,force_copy=1, net_memif0, net_vhost0, net_virtio_user0 (with options)"
        )
    left = re.search(r"net_af_xdp[^,]*,.*iface=([^,]+)", what)
    if left and step == "configure":
        return BusyError(
            f"{what}: DPDK's driver does not get the queue: {said}\n"
            f"net_af_xdp gives {left[1]} back only when the process ends that opened it"
        )
    return PortError(f"{what}: DPDK's driver does not {step}: {said}\nsee what it printed")


def from_fault(
    backend: str, name: str, queue: int, step: str, error: int, detail: int = 0, max_frame: int = 0
) -> PortError:
    """The error for what the C side reports: the step that failed, errno, and a number that belongs to the step."""
    made = _from_fault(backend, name, queue, step, error, detail, max_frame)
    made.errno, made.step = error, step
    return made


def _from_fault(backend: str, name: str, queue: int, step: str, error: int, detail: int, max_frame: int) -> PortError:
    family = backend.partition("-")[0]
    what = f"{backend} on {name}" if name else backend
    if family == "dpdk" and step in ("environment", "device", "configure", "start", "buffers"):
        return _dpdk(step, error, what)
    if error in (errno.EPERM, errno.EACCES):
        if family == "shm":
            return MissingRightError(f"{what}: the segment belongs to another user\nrun both sides as one user")
        return _missing_right(family, step, what)
    if step == "ownership":
        return OwnershipError(f"{what}: slot {detail} is not the user's: its frame was released, sent, or used twice")
    if step == "length":
        return FrameSizeError(
            f"{what}: a frame of {detail} bytes; from {0 if family == 'udp' else 1 if family == 'shm' else 14} to "
            f"{max_frame} may be sent"
            + (f"\nmore with a larger MTU: ip link set {name} mtu N" if family not in ("shm", "udp") else "")
        )
    if error == errno.EMSGSIZE:
        return FrameSizeError(f"{what}: the frame is longer than the MTU of the way allows")
    if step == "interface" or (family == "udp" and error == errno.ENODEV):
        return InterfaceMissingError(f"{what}: no interface {name!r} in this network namespace\nsee: ip link show")
    if error in (errno.ENODEV, errno.ENXIO):
        return InterfaceGoneError(
            f"{what}: the interface was deleted or moved away\nclose this port and open another one"
        )
    if error in (errno.ENETDOWN, errno.ENETUNREACH):
        return LinkDownError(f"{what}: the link is down\nbring it up: ip link set {name or 'IF'} up")
    if error == errno.EPIPE:
        return PeerGoneError(f"{what}: the other side is gone\nclose this port and open it again when the peer is back")
    if step == "attach" and (found := _attach(name, error, detail, what)):
        return found
    if step == "side" and error == errno.EBUSY:
        return BusyError(f"{what}: another process is side {'ab'[detail]} of this segment\nuse another name, or end it")
    if step == "join" or (family == "shm" and error == errno.ENOENT):
        return PeerMissingError(
            f"{what}: no side 'a' has a fresh segment of this name\n"
            "open side 'a' first, and again after a side was closed"
        )
    if step == "version":
        return UnsupportedError(
            f"{what}: side 'a' speaks version {detail} of the segment, this one another\nupdate both"
        )
    if step == "queue in generic mode":
        return QueueError(f"{what}: generic mode delivers to queue 0 only, not to {queue}\nuse queue=0 or 'xdp-drv'")
    if step == "queue" or (step == "bind" and family == "xdp" and error == errno.EINVAL):
        return QueueError(
            f"{what}: there is no queue {queue} to have\nits numrxqueues is the most it can have: "
            f"ip -details link show {name}"
            if family == "xdp"
            else f"{what}: this backend serves the whole interface: queue must be 0, not {queue}"
        )
    if error == errno.EBUSY:
        return BusyError(f"{what}: queue {queue} is in use by another socket\nclose that one, or use another queue")
    if error == errno.EADDRINUSE:
        return BusyError(f"{what}: UDP port {detail} is in use\nsee: ss -ulpn, or use another port")
    if error == errno.EAFNOSUPPORT:
        module = {"xdp": "XDP_SOCKETS", "packet": "PACKET"}.get(family, "INET")
        hint = "\nload it: sudo modprobe af_packet" if family == "packet" else "\nanother kernel, or backend='packet'"
        return UnsupportedError(f"{what}: this kernel has no CONFIG_{module}{hint}")
    if error == errno.EOPNOTSUPP:
        return UnsupportedError(
            f"{what}: {name} has no zero-copy\nleave zero_copy out: veth and TAP copy, which is fast enough"
            if step == "bind"
            else f"{what}: this kernel does not support {step}"
        )
    if error in (errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC):
        return _memory(name, step, detail, what)
    if error in (errno.ENOSYS, errno.ENOPROTOOPT):
        return UnsupportedError(f"{what}: this kernel does not know {step}; 5.9 or later is needed")
    return PortError(f"{what}: {step} failed: {os.strerror(error)}")

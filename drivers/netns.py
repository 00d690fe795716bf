"""Network namespaces, veth pairs and TAPs that leave nothing behind.

A `Namespace` has no name on the machine: it lives as long as a descriptor of it is open, so that it and the interfaces
in it go with the process, also when that is killed. `Namespace.run` starts any program inside; `publish` gives it a
name for ``ip netns exec``.

Interfaces are made ready for raw frames: no IPv6 (the kernel would send of its own accord), no checksum or
segmentation offload (on a veth, the kernel would hand over frames with unfinished checksums, longer than the MTU).

Needs the right CAP_SYS_ADMIN (and CAP_NET_ADMIN), or a user namespace that grants it; iproute2 and util-linux.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tickgate.drivers.errors import LimitError, MissingRightError, PortError, UnsupportedError

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_RUN_NETNS = Path("/run/netns")
# linux/if_tun.h, linux/sockios.h, linux/ethtool.h
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_SIOCETHTOOL, _SIOCGIFFLAGS, _IFF_RUNNING = 0x8946, 0x8913, 0x40
_OFFLOADS = {"rx checksum": 0x15, "tx checksum": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}


def _fail(what: str, number: int) -> PortError:
    if number in (errno.EPERM, errno.EACCES):
        error = MissingRightError(f"{what}: the right CAP_SYS_ADMIN is missing\nrun as root, or inside: unshare -Urn")
        error.capabilities = ("sys_admin",)
        return error
    if number == errno.ENOSPC:
        return LimitError(f"{what}: no more network namespaces\nraise it: sudo sysctl user.max_net_namespaces=1000")
    return PortError(f"{what}: {os.strerror(number)}")


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise _fail("entering a network namespace", ctypes.get_errno())


class Namespace:
    """A network namespace; use it as a context manager, or call `close`.

    Raises: MissingRightError, LimitError; UnsupportedError where ``ip`` or ``nsenter`` is not installed.
    """

    def __init__(self) -> None:
        for program, package in (("ip", "iproute2"), ("nsenter", "util-linux")):
            if shutil.which(program) is None:
                raise UnsupportedError(f"missing: {program}, which makes interfaces\nDebian package: {package}")
        self._names: list[Path] = []
        self.fd = -1
        found: list[int] = []

        def make() -> None:  # in a thread of its own: the caller's thread never leaves its namespace
            if _libc.unshare(_CLONE_NEWNET) != 0:
                found.append(-ctypes.get_errno())
            else:
                found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if found[0] < 0:
            raise _fail("making a network namespace", -found[0])
        self.fd = found[0]
        try:
            with self.entered():
                for group in ("all", "default"):
                    switch = Path(f"/proc/sys/net/ipv6/conf/{group}/disable_ipv6")
                    if switch.exists():
                        _write_if_allowed(switch, "1")
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it: with the last program and port inside it is gone, with all its interfaces."""
        for name in self._names:
            _unpublish(name)
        self._names.clear()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def path(self) -> str:
        """Path that ``nsenter --net=`` takes, from any process while this one lives."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread inside the namespace; what it opens there stays there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self.fd)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)

    def command(self, *words: str) -> list[str]:
        """The command line that runs ``words`` inside."""
        return ["nsenter", f"--net={self.path}", "--", *words]

    def run(self, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside and wait for it.

        Raises: PortError with what it said, where ``check`` is set and it fails.
        """
        options = {"timeout": 30, **options}
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, **options)
        if check and done.returncode != 0:
            raise PortError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done

    def popen(self, words: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        """Start a program inside."""
        return subprocess.Popen(self.command(*words), **options)

    def ip(self, *words: str) -> str:
        """Run ``ip`` inside; return what it printed."""
        return self.run("ip", *words).stdout

    def wait_running(self, name: str, seconds: float = 5.0) -> None:
        """Waits until the kernel has seen that the link of an interface is up: what is sent before that is lost.

        Raises
        ------
        TimeoutError: it was not seen in that time.
        """
        request, end = struct.pack("16s16x", name.encode()), time.monotonic() + seconds
        with self.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            while not struct.unpack_from("H", fcntl.ioctl(probe, _SIOCGIFFLAGS, request), 16)[0] & _IFF_RUNNING:
                if time.monotonic() > end:
                    raise TimeoutError(f"the link of {name} did not come up within {seconds:g} s")
                time.sleep(0.001)
        self.ip("link", "show", name)  # waits for the lock under which the kernel activates the queues

    def link_up(self, name: str) -> None:
        """Take offloads off an interface and bring it up."""
        with self.entered():
            disable_offloads(name)
        self.ip("link", "set", name, "up")

    def tap(self, name: str, *, mtu: int = 1500) -> int:
        """Make a TAP, up; return its descriptor (O_NONBLOCK), with which it goes."""
        with self.entered():
            fd = open_tap(name)
        try:
            self.ip("link", "set", name, "mtu", str(mtu))
            self.link_up(name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def publish(self, name: str) -> None:
        """Make it ``ip netns`` by this name too, until `close`; a stale name of a dead process is replaced.

        Raises: PortError where a living namespace has that name.
        """
        path = _RUN_NETNS / name
        if path.exists():
            if path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev:
                raise PortError(f"there is a network namespace {name} already\nremove it: ip netns delete {name}")
            _unpublish(path)
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False, timeout=30)
        if done.returncode != 0:
            raise PortError(f"ip netns add {name}: {done.stderr.strip()}")
        _libc.umount2(os.fsencode(path), 2)
        self._names.append(path)
        if _libc.mount(os.fsencode(self.path), os.fsencode(path), b"none", 4096, None) != 0:  # MS_BIND
            raise _fail(f"naming the namespace {name}", ctypes.get_errno())


def _write_if_allowed(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise


def _unpublish(path: Path) -> None:
    _libc.umount2(os.fsencode(path), 2)  # MNT_DETACH
    path.unlink(missing_ok=True)


def open_tap(name: str) -> int:
    """The descriptor of a new TAP in the thread's namespace: one read or write is one frame.

    Raises: MissingRightError, UnsupportedError, PortError.
    """
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnsupportedError("this machine has no /dev/net/tun\nload it: sudo modprobe tun") from None
    except PermissionError:
        raise _tap_right() from None
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", os.fsencode(name), _IFF_TAP | _IFF_NO_PI))
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EPERM:
            raise _tap_right() from None
        raise PortError(f"TAP {name}: {error.strerror}") from None
    return fd


def _tap_right() -> MissingRightError:
    error = MissingRightError("making a TAP: the right CAP_NET_ADMIN is missing\nrun as root, or inside: unshare -Urn")
    error.capabilities = ("net_admin",)
    return error


def disable_offloads(name: str) -> None:
    """Switch off what makes the kernel hand over unfinished or oversized frames; what a driver lacks stays as it is."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in _OFFLOADS.values():
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sQ16x", os.fsencode(name), ctypes.addressof(value))
            try:
                fcntl.ioctl(sock, _SIOCETHTOOL, request)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise _fail(f"offloads of {name}", error.errno or 0) from None


def veth_pair(first: tuple[Namespace, str], second: tuple[Namespace, str], *, mtu: int = 1500, queues: int = 1) -> None:
    """A veth pair, each end in its namespace, up, without addresses, with as many queues both ways on both ends."""
    (a, name_a), (b, name_b) = first, second
    count = str(queues)
    a.ip(
        "link", "add", name_a, "mtu", str(mtu), "numrxqueues", count, "numtxqueues", count, "type", "veth",
        "peer", "name", name_b, "mtu", str(mtu), "numrxqueues", count, "numtxqueues", count, "netns", b.path,
    )  # fmt: skip
    a.link_up(name_a)
    b.link_up(name_b)
    # The second end finds its peer up; the first one's queues are activated a moment after that, and drop until then.
    a.wait_running(name_a)

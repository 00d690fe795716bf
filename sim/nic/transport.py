"""A running simulated NIC as a transport of the host: its control port, by the name of its namespace."""

from __future__ import annotations

import ctypes
import os

from tickgate.drivers.port import Port
from tickgate.drivers.transport import WAIT_MS, PortTransport, interface_mac
from tickgate.sw.spec.errors import UserError

DEFAULT_NAME = "tickgate"
_CLONE_NEWNET = 0x40000000


def open_nic(argument: str) -> PortTransport:
    """The control port of the simulated NIC of that name, `tickgate` by default.

    Raises
    ------
    UserError: none runs by that name, or the right to enter its namespace is missing.
    """
    name = argument or DEFAULT_NAME
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(fd: int) -> None:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            problem = os.strerror(ctypes.get_errno())
            raise UserError(f"entering the namespace {name}: {problem}\nrun as root")

    try:
        there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise UserError(f"no simulated NIC is called {name}\nstart one: tickgate nic --name {name}") from None
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(there)
        try:
            return PortTransport(Port.open("control", backend="packet", wait_ms=WAIT_MS), interface_mac("control"))
        finally:
            enter(home)
    finally:
        os.close(there)
        os.close(home)

"""Ports as transports of the host: control frames over shared memory, AF_XDP, AF_PACKET, datagrams or DPDK."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time

from tickgate.drivers.port import Port, open_via
from tickgate.sw.host.transport import Transport
from tickgate.sw.spec import control, net
from tickgate.sw.spec.errors import UserError

#: How long one look for frames waits in the kernel; a receive takes as many as its timeout allows.
WAIT_MS = 5
_BURST = 32
_SIOCGIFHWADDR = 0x8927  # linux/sockios.h


class PortTransport(Transport):
    """Frames over a port.

    Parameters
    ----------
    port: owned; opened with a `wait_ms` of a few milliseconds, or every receive spins.
    mac: Ethernet address that requests come from.
    """

    def __init__(self, port: Port, mac: int = control.HOST_MAC):
        self.port, self.mac = port, mac

    def send(self, frame: bytes) -> None:
        """One frame, padded as Ethernet wants it; where the port has no room it is lost."""
        self.port.send(frame.ljust(net.FRAME_SIZE_MIN, b"\0"))

    def receive(self, timeout_s: float) -> list[bytes]:
        """What came to the port."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = []
            for frame in self.port.recv_burst(_BURST):
                found.append(bytes(frame))
                frame.release()
            if found or time.monotonic() >= deadline:
                return found

    def close(self) -> None:
        """Closes the port."""
        self.port.close()


def open_shm(argument: str) -> PortTransport:
    """Side b of a shared-memory segment; the device makes side a. Raises UserError, as all of these."""
    return PortTransport(Port.open(_needed("shm", "NAME", argument), backend="shm", side="b", wait_ms=WAIT_MS))


def open_xdp(argument: str) -> PortTransport:
    """AF_XDP on an interface."""
    return _interface("xdp", argument)


def open_packet(argument: str) -> PortTransport:
    """AF_PACKET on an interface."""
    return _interface("packet", argument)


def open_dpdk(argument: str) -> PortTransport:
    """A virtual device of DPDK with its arguments; where it names an interface, requests come from its address."""
    device = _needed("dpdk", "DEVICE", argument)
    interface = next((part[6:] for part in device.split(",") if part.startswith("iface=")), "")
    return PortTransport(Port.open(device, backend="dpdk", wait_ms=WAIT_MS), interface_mac(interface or "-"))


def open_udp(argument: str) -> PortTransport:
    """Frames as datagrams to an address and port."""
    address, colon, number = argument.rpartition(":")
    if not colon or not number.isdecimal() or not 0 < int(number) < 65536:
        raise UserError(f"udp takes ADDRESS:PORT (udp:192.0.2.1:7000), not {argument!r}")
    port = Port.open("", backend="udp", local=("0.0.0.0", 0), remote=(address, int(number)), wait_ms=WAIT_MS)
    return PortTransport(port)


def _interface(backend: str, argument: str) -> PortTransport:
    name = _needed(backend, "INTERFACE", argument)
    try:
        port = open_via(f"{backend}:{name}", wait_ms=WAIT_MS)
    except ValueError as error:
        raise UserError(str(error)) from None
    return PortTransport(port, interface_mac(name.partition("@")[0]))


def interface_mac(name: str) -> int:
    """The Ethernet address of an interface, the protocol's own where it has none."""
    # Not from /sys, which shows the interfaces of another network namespace than the thread's.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            found = fcntl.ioctl(sock, _SIOCGIFHWADDR, struct.pack("16s24x", os.fsencode(name)[:15]))
        except OSError:
            return control.HOST_MAC
    return int.from_bytes(found[18:24], "big") or control.HOST_MAC


def _needed(name: str, what: str, argument: str) -> str:
    if not argument:
        raise UserError(f"the transport {name} needs {what}: {name}:{what}")
    return argument

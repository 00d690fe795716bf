"""Ports: frames in and out over one of several backends, with one interface.

    with Port.open("veth0", backend="auto") as port:
        for frame in port.recv_burst(32):
            ...                          # memoryview(frame), bytes(frame), frame.stamp
        port.send(b"...")

Backends of `Port.open`:

- ``xdp``: AF_XDP in the mode that suits the interface; ``xdp-skb`` generic, ``xdp-drv`` native mode.
- ``packet``: AF_PACKET with mapped rings, past the queueing discipline.
- ``udp``: a kernel socket; a frame is a datagram's payload. ``local`` and ``remote`` are (IPv4 address, port).
- ``shm``: shared memory between two processes, ``side`` a makes the segment ``name``, b joins it; `Port.pair` for one.
- ``auto``: xdp where rights and kernel allow, else packet; ``port.fallbacks`` holds the reasons.

Parameters: ``queue``; ``ring``, entries of each ring (a power of two, 8 to 32,768); ``frame_bytes``, of a slot;
``wait_ms``, how long a receive waits for the first frame (0: spin); ``stamps``, receive times from the kernel (xdp);
``zero_copy``, True to demand it, False to forbid it; ``huge_pages`` (xdp), ``busy_poll_us``, ``promiscuous``.

Errors are those of `tickgate.drivers.errors`, each with the command that mends it. A port belongs to one thread at a
time. Cython modules ``cimport tickgate.drivers._port`` and call c/port.h's functions on ``port.c`` without the GIL.
"""

import os
from typing import TYPE_CHECKING, Any

from tickgate.drivers.errors import UnsupportedError
from tickgate.drivers.stats import PortStats

if TYPE_CHECKING:
    from tickgate.drivers._port import Frame as Frame
    from tickgate.drivers._port import Port as Port
else:
    try:
        if os.environ.get("TICKGATE_PURE"):
            raise ModuleNotFoundError
        from tickgate.drivers._port import Frame, Port
    except ModuleNotFoundError:

        class Port:
            """Stands in where the compiled drivers are not installed: opening says so."""

            @staticmethod
            def open(*args: Any, **options: Any) -> "Port":
                """Raise `UnsupportedError`."""
                raise UnsupportedError(
                    "the compiled drivers are not installed\ninstall without TICKGATE_PURE: make setup"
                )

            pair = open

        class Frame:
            """Stands in where the compiled drivers are not installed."""


__all__ = ["Frame", "Port", "PortStats", "open_via"]


def open_via(text: str, **options: Any) -> "Port":
    """Open what a command line names: ``xdp:IF``, ``xdp:IF@QUEUE``, ``packet:IF``, ``shm:NAME``, ``auto:IF``.

    Raises ValueError where the text is none of these.
    """
    backend, colon, rest = text.partition(":")
    name, at, queue = rest.partition("@")
    if not colon or not name or (at and not queue.isdecimal()):
        raise ValueError(f"BACKEND:NAME or BACKEND:NAME@QUEUE is needed (xdp:eth0), not {text!r}")
    return Port.open(name, int(queue or 0), backend, **options)

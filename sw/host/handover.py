"""Taking a TCP session away from the kernel: log in over its sockets, read the numbers, and let go without a word.

The kernel must not answer for the address any more when the device sends from it, so the address is taken off the
interface before the numbers are read; from then on nothing that arrives reaches the socket. The socket is closed in
repair mode (`TCP_REPAIR` of linux/tcp.h), in which nothing is sent. It needs CAP_NET_ADMIN and iproute2.

References: SoupBinTCP 3.00 section 2 (login), RFC 9293 (sequence numbers, window), tcp(7).
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from tickgate.sw.spec import net, soup
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.fields import text

# linux/tcp.h
_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ, _TCP_REPAIR_WINDOW = 19, 20, 21, 29
_RECEIVE_QUEUE, _SEND_QUEUE = 1, 2
_REPAIR_OFF = -1  # without a window probe
_INFO_TIMESTAMPS = 1
_TCP_INFO_BYTES = 104
_WINDOW = struct.Struct("=IIIII")
#: How long the venue may take to acknowledge the login.
QUIET_S = 5.0


class HandoverError(UserError):
    """A session cannot be handed over; the message says why."""


@dataclass(frozen=True)
class TcpNumbers:
    """Everything that the next segment of a connection depends on.

    Members
    -------
    interface: that the frames leave by.
    next_seq: of the next byte to send; all before it is acknowledged.
    ack_out: next byte expected of the peer.
    window_out: window field to send, in units of this side's scale.
    window_in: what the peer takes beyond `next_seq`, in bytes.
    window_shift_in: scale of the window fields that the peer sends.
    received: bytes that had arrived and were not read.
    """

    interface: str
    src_mac: int
    dst_mac: int
    src_ip: int
    dst_ip: int
    src_port: int
    dst_port: int
    next_seq: int
    ack_out: int
    window_out: int
    window_in: int
    window_shift_in: int
    received: bytes = b""

    def session_row(self, user_ref: int, cl_ord_id: int = 0, firm: int = 0) -> dict[str, int]:
        """The row that opens the session in the device."""
        same = ("src_mac", "dst_mac", "src_ip", "dst_ip", "src_port", "dst_port", "next_seq")
        row = {name: getattr(self, name) for name in same}
        return {"open": 1, **row, "user_ref": user_ref, "cl_ord_id": cl_ord_id, "firm": firm}

    def peer_row(self) -> dict[str, int]:
        """What the venue said last, for the device."""
        return {
            "ack_out": self.ack_out,
            "window_out": self.window_out,
            "ack_in": self.next_seq,
            "window_in": min(self.window_in, (1 << 32) - 1),
        }


def connect(local_ip: str, address: tuple[str, int], timeout_s: float = 5.0) -> socket.socket:
    """A connection that can be handed over.

    Raises
    ------
    HandoverError: it cannot be made, or timestamps were negotiated.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((local_ip, 0))
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise HandoverError(f"no connection from {local_ip} to {address[0]}:{address[1]}: {error.strerror}") from error
    if _info(sock)["options"] & _INFO_TIMESTAMPS:
        sock.close()
        raise HandoverError(
            "TCP timestamps were negotiated, which the device does not send\n"
            "switch them off where the session is opened: sysctl net.ipv4.tcp_timestamps=0"
        )
    return sock


def login(sock: socket.socket, user: str, password: str, session: str = "", sequence: int = 0) -> dict[str, Any]:
    """Log in to a SoupBinTCP server: its answer, and under `rest` what came behind it.

    Raises
    ------
    HandoverError: rejected, no answer, or the server closes.
    """
    request = soup.build(soup.LOGIN_REQUEST, user=user, password=password, session=session, sequence=sequence)
    sock.sendall(request)
    data = b""
    while True:
        packets, rest = soup.split(data)
        if packets:
            break
        try:
            more = sock.recv(4096)
        except TimeoutError:
            raise HandoverError("the server does not answer the login") from None
        if not more:
            raise HandoverError("the server closed the connection instead of answering the login")
        data += more
    packet, *behind = packets
    table = soup.SERVER.get(packet[2])
    if table is soup.LOGIN_REJECTED:
        reason = dict(soup.LOGIN_REJECTED.field("reason").values)[packet[3:4].decode("ascii")]
        raise HandoverError(f"the server rejects the login: {reason}")
    if table is not soup.LOGIN_ACCEPTED:
        raise HandoverError(f"the server answers the login with a packet of type {packet[2:3]!r}")
    values = table.unpack(packet)
    return {
        "session": text(values["session"]),
        "sequence": int(values["sequence"]),
        "rest": b"".join(behind) + rest,
    }


def take_over(sock: socket.socket) -> TcpNumbers:
    """Take a connection from the kernel, which forgets it without a word; the socket is closed.

    Raises
    ------
    HandoverError: a right or `ip` is missing, the venue does not acknowledge, or its next hop is not known. The
        connection then is still the kernel's.
    """
    (src_ip, src_port), (dst_ip, dst_port) = sock.getsockname(), sock.getpeername()
    deadline = time.monotonic() + QUIET_S
    while _info(sock)["unacked"] and time.monotonic() < deadline:
        time.sleep(0.001)
    if _info(sock)["unacked"]:
        raise HandoverError(f"the venue did not acknowledge everything within {QUIET_S:g} s")
    interface, prefix = _address_of(src_ip)
    dst_mac = _next_hop(src_ip, dst_ip, interface)
    src_mac = net.mac(_ip("-j", "link", "show", "dev", interface)[0]["address"])
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    except PermissionError:
        raise HandoverError(
            "reading the numbers of a connection needs the right CAP_NET_ADMIN\n"
            "run as root, or: setcap cap_net_admin+ep on the interpreter"
        ) from None
    try:
        _ip("addr", "del", f"{src_ip}/{prefix}", "dev", interface)
    except HandoverError:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, _REPAIR_OFF)
        raise
    window = _WINDOW.unpack(sock.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_WINDOW, _WINDOW.size))
    info = _info(sock)
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _SEND_QUEUE)
    next_seq = _u32(sock.getsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ))
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _RECEIVE_QUEUE)
    ack_out = _u32(sock.getsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ))
    received = _waiting(sock)
    sock.close()  # in repair mode: neither FIN nor RST
    return TcpNumbers(
        interface, src_mac, dst_mac, net.ipv4(src_ip), net.ipv4(dst_ip), src_port, dst_port, next_seq, ack_out,
        min(0xFFFF, window[3] >> info["receive_scale"]), window[1], info["send_scale"], received,
    )  # fmt: skip


def _waiting(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    try:
        return sock.recv(1 << 20, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def _u32(value: int) -> int:
    return value & 0xFFFFFFFF


def _info(sock: socket.socket) -> dict[str, int]:
    """What is needed of struct tcp_info."""
    data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    (unacked,) = struct.unpack_from("=I", data, 24)
    return {"options": data[5], "send_scale": data[6] & 15, "receive_scale": data[6] >> 4, "unacked": unacked}


def _ip(*words: str) -> Any:
    """Run `ip`; what it printed as JSON, where asked for."""
    program = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") or shutil.which("ip")
    if program is None:
        raise HandoverError("missing: ip, which takes the address off its interface\nDebian package: iproute2")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise HandoverError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout or "[]") if "-j" in words else None


def _address_of(address: str) -> tuple[str, int]:
    """Interface and prefix length of a local address."""
    for link in _ip("-j", "-4", "addr", "show"):
        for entry in link.get("addr_info", ()):
            if entry.get("local") == address:
                return link["ifname"], entry["prefixlen"]
    raise HandoverError(f"no interface has the address {address}")


def _next_hop(src_ip: str, dst_ip: str, interface: str) -> int:
    """Ethernet address that frames to the venue go to."""
    route = _ip("-j", "route", "get", dst_ip, "from", src_ip)[0]
    hop = route.get("gateway", dst_ip)
    for entry in _ip("-j", "neigh", "show", hop, "dev", interface):
        if "lladdr" in entry:
            return net.mac(entry["lladdr"])
    raise HandoverError(f"the Ethernet address of {hop} is not known on {interface}")

"""The orders stage: accepted intents and the host's own messages to TCP segments in Ethernet frames.

References: OUCH 5.0 section 2 (Enter Order), SoupBinTCP 3.00 section 2 (unsequenced data), RFC 9293, RFC 791. Frames
are neither padded nor given an FCS here: the MAC does both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickgate.sw.spec import net, ouch, soup
from tickgate.sw.spec.events import BUY, NO_SLOT, ORDERS_TRACE, OrderItem

COUNTERS = ("orders", "orders_poisoned", "intents_void", "injects", "intents_killed", "completed_after_kill")

INJECT_BYTES_MAX = 74
"""Longest payload of a host message."""

_Record = ORDERS_TRACE.tuple_type
_SEQ_MASK = (1 << 32) - 1


def order_payload(order: Any, user_ref: int, session: Mapping[str, int]) -> bytes:
    """The SoupBinTCP packet with the Enter Order message of an accepted order."""
    firm = session.get("firm", 0)
    options = [(ouch.OPTION_TAGS["firm"], firm.to_bytes(4, "big"))] if firm else []
    message = ouch.build(
        ouch.ENTER_ORDER,
        options,
        user_ref=user_ref,
        side=(ouch.Side.BUY if order.side == BUY else ouch.Side.SELL).value,
        quantity=order.quantity,
        symbol=order.symbol.to_bytes(ouch.ALPHA_SYMBOL_SIZE, "big"),
        price_e4=order.price_e4,
        time_in_force=bytes((order.tif,)),
        display=bytes((order.display,)),
        capacity=bytes((order.capacity,)),
        sweep=b"N",
        cross_type=ouch.CrossType.CONTINUOUS.value,
        clordid=session.get("cl_ord_id", 0).to_bytes(ouch.CLORDID_SIZE, "big"),
    )
    return soup.build(soup.UNSEQUENCED_DATA, payload=message)


class Orders:
    """The order session.

    Members
    -------
    next_seq: TCP sequence number of the next byte to send.
    user_ref: OUCH user reference number of the next order.
    kill: level of the kill switch, 1 after reset.
    counters: this stage's counters by register name.
    """

    def __init__(self, session: Mapping[str, int] | None = None, peer: Mapping[str, int] | None = None):
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.kill = True
        self.commit_session(session or {})
        self.commit_peer(peer or {})

    def commit_session(self, row: Mapping[str, int]) -> None:
        """Take a session row over, its numbers included."""
        self._session = row
        self.next_seq = row.get("next_seq", 0)
        self.user_ref = row.get("user_ref", 0)

    def commit_peer(self, row: Mapping[str, int]) -> None:
        """Take over what the venue last said."""
        self._peer = row

    @property
    def order_bytes(self) -> int:
        """TCP payload bytes of an order."""
        firm = len(ouch.build_appendage([(ouch.OPTION_TAGS["firm"], b"FIRM")])) if self._session.get("firm") else 0
        return soup.HEADER_SIZE + ouch.ENTER_ORDER.size + firm

    @property
    def session_ok(self) -> bool:
        """The session is open and the venue's window has room for one more order."""
        in_flight = self.next_seq + self.order_bytes - self._peer.get("ack_in", 0) & _SEQ_MASK
        return bool(self._session.get("open")) and in_flight <= self._peer.get("window_in", 0)

    def order(self, order: Any, void: bool = False) -> tuple[Any, bytes]:
        """Send an accepted order: trace record and frame; the frame is empty where the kill switch came first.

        Parameters
        ----------
        void: the frame that decided it has turned out bad: it is dropped too, whatever the kill switch says.
        """
        if void or self.kill:
            self.counters["intents_void" if void else "intents_killed"] += 1
            item = OrderItem.VOID if void else OrderItem.KILLED
            return _Record(0, 0, order.seq, 0, 0, 0, item, order.slot), b""
        payload = order_payload(order, self.user_ref, self._session)
        record = _Record(0, 0, order.seq, self.user_ref, self.next_seq, len(payload), OrderItem.ORDER, order.slot)
        self.user_ref = self.user_ref + 1 & _SEQ_MASK
        self.counters["orders"] += 1
        return record, self._frame(payload)

    def poison(self, record: Any) -> Any:
        """The order of `record`, the last frame, ends with an error: nobody takes it, and its numbers are free again.

        Returns the trace record that says so.
        """
        self.next_seq, self.user_ref = record.tcp_seq, record.user_ref
        self.counters["orders"] -= 1
        self.counters["orders_poisoned"] += 1
        return record._replace(item=OrderItem.POISONED)

    def inject(self, payload: bytes) -> tuple[Any, bytes]:
        """Send a host message (SoupBinTCP bytes of one segment): trace record and frame.

        Raises
        ------
        ValueError: empty, or longer than `INJECT_BYTES_MAX`.
        """
        if not 1 <= len(payload) <= INJECT_BYTES_MAX:
            raise ValueError(f"a host message has 1 to {INJECT_BYTES_MAX} bytes, not {len(payload)}")
        record = _Record(0, 0, 0, 0, self.next_seq, len(payload), OrderItem.INJECT, NO_SLOT)
        self.counters["injects"] += 1
        return record, self._frame(payload)

    def _frame(self, payload: bytes) -> bytes:
        session, peer = self._session, self._peer
        frame = net.tcp_frame(
            payload,
            destination_mac=session.get("dst_mac", 0),
            source_mac=session.get("src_mac", 0),
            source_ip=session.get("src_ip", 0),
            destination_ip=session.get("dst_ip", 0),
            source_port=session.get("src_port", 0),
            destination_port=session.get("dst_port", 0),
            sequence=self.next_seq,
            acknowledgment=peer.get("ack_out", 0),
            window=peer.get("window_out", 0),
        )
        self.next_seq = self.next_seq + len(payload) & _SEQ_MASK
        return frame

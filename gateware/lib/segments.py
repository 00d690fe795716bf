"""Bytes and checksums of the frames of an order session: an order's frame, and the headers of a host message's.

Formats: Ethernet II, IPv4 (RFC 791), TCP (RFC 9293), SoupBinTCP 3.00 section 2, OUCH 5.0 section 2 (Enter Order).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from tickgate.gateware.lib.packet import checksum_terms, field_bytes, folded, message_bytes, registered_sum, words
from tickgate.sw.spec import net, ouch, soup
from tickgate.sw.spec.units import WORD_BYTES

FIRM_OPTION = ouch.OPTIONS[ouch.OPTION_TAGS["firm"]]
#: Bytes of the appendage that names the firm: length, tag, value.
APPENDAGE_SIZE = 2 + FIRM_OPTION.value.size
PAYLOAD_SIZE = soup.HEADER_SIZE + ouch.ENTER_ORDER.size
HEADERS_SIZE = net.TCP_PAYLOAD_OFFSET
#: Word in which the payload begins, and its byte there.
PAYLOAD_WORD, PAYLOAD_LANE = divmod(HEADERS_SIZE, WORD_BYTES)

_IP_AT = net.ETHERNET_SIZE
_TCP_AT = _IP_AT + net.IPV4_SIZE
_IP_CHECKSUM_WORD = (_IP_AT + net.IPV4.field("checksum").offset) // WORD_BYTES
_TCP_CHECKSUM_WORD = (_TCP_AT + net.TCP.field("checksum").offset) // WORD_BYTES

_IP_CONSTANTS = {
    "version_ihl": net.IPV4_VERSION_IHL,
    "dscp_ecn": 0,
    "identification": 0,
    "flags_fragment": net.IPV4_FLAG_DF,
    "ttl": 64,
    "protocol": net.PROTOCOL_TCP,
}
_TCP_CONSTANTS = {"data_offset": net.TCP_DATA_OFFSET, "flags": net.TCP_PSH | net.TCP_ACK, "urgent": 0}
_OUCH_CONSTANTS = {
    "type": ouch.ENTER_ORDER.code,
    "sweep": b"N",
    "cross_type": ouch.CrossType.CONTINUOUS.value,
}


def _appendage(firm) -> list[Value]:
    value = field_bytes(FIRM_OPTION.value, firm)
    return [Const(1 + FIRM_OPTION.value.size, 8), Const(FIRM_OPTION.tag, 8), *value]


def _order_constants(appendage_size: int) -> tuple[dict, dict]:
    """SoupBinTCP and OUCH fields that are the same in every order with an appendage of that size."""
    payload = PAYLOAD_SIZE + appendage_size
    return (
        {"length": payload - 2, "type": soup.UNSEQUENCED_DATA.code},
        {**_OUCH_CONSTANTS, "appendage_length": appendage_size},
    )


def with_checksums(frame: list[Value], word: Value, index: Value) -> Value:
    """Word `index` of `frame`, which is `word` but for the checksums: these are not known a cycle before."""
    parts, at = [], 0
    for number, header, offset in (
        (_IP_CHECKSUM_WORD, net.IPV4, _IP_AT),
        (_TCP_CHECKSUM_WORD, net.TCP, _TCP_AT),
    ):
        field = header.field("checksum")
        first = 8 * ((offset + field.offset) % WORD_BYTES)
        end = first + 8 * field.size
        parts += [word[at:first], Mux(index == number, frame[number][first:end], word[first:end])]
        at = end
    return Cat(*parts, word[at:])


class Segments:
    """The words of the frame that leaves, and the sums in front of them.

    Sums over what is known before a frame begins settle while the frame before is leaving; those over the order's own
    fields run while the words in front of the checksums leave. A frame is known from the cycle after the one in which
    it begins; word n is loaded n cycles after that one at the earliest, and may be chosen a cycle before but for its
    checksum.

    Parameters
    ----------
    m: module that the sums belong to.
    row: session row of the frames, SESSION_ROW.
    has_firm: the row names a firm, and orders have an appendage.
    next_seq, user_ref: numbers of the next frame and the next order.
    inject_total, inject_length: sum and bytes of the host message that waits.
    faults: those of the stage that uses it.
    """

    def __init__(
        self,
        m: Module,
        *,
        row,
        has_firm: Value,
        next_seq: Value,
        user_ref: Value,
        inject_total: Value,
        inject_length: Value,
        faults: frozenset[str] = frozenset(),
    ):
        self._row, self._has_firm, self._faults = row, has_firm, faults
        ip = message_bytes(
            net.IPV4,
            {**_IP_CONSTANTS, "total_length": 0, "checksum": 0, "source_ip": row.src_ip, "destination_ip": row.dst_ip},
        )
        terms, constant = checksum_terms(ip)
        ip_sum, _ = registered_sum(m, [*terms, Const(constant)], name="ip_sum")
        fold = Signal(17, reset_less=True)
        self._ip_base = Signal(16, reset_less=True)
        m.d.sync += [fold.eq(folded(ip_sum)), self._ip_base.eq(folded(fold))]

        # Pseudo header, constant header fields, and the sequence number, of orders and of host messages.
        tcp = message_bytes(
            net.TCP,
            {
                **_TCP_CONSTANTS,
                "source_port": row.src_port,
                "destination_port": row.dst_port,
                "sequence": next_seq,
            },
            missing=0,
        )
        address = message_bytes(net.IPV4, {"source_ip": row.src_ip, "destination_ip": row.dst_ip}, missing=0)
        terms, header_constant = checksum_terms([*address, *tcp])
        header_constant += net.PROTOCOL_TCP + net.TCP_SIZE
        literals = []
        for size in (0, APPENDAGE_SIZE):
            soup_values, ouch_values = _order_constants(size)
            constant_bytes = [
                *message_bytes(soup.UNSEQUENCED_DATA, soup_values),
                *message_bytes(ouch.ENTER_ORDER, ouch_values, missing=0),
                *_appendage(bytes(FIRM_OPTION.value.size))[:size],
            ]
            varying, literal = checksum_terms(constant_bytes)
            assert not varying
            literals.append(literal + PAYLOAD_SIZE + size)
        own = [
            *message_bytes(soup.UNSEQUENCED_DATA, {}, missing=0),
            *message_bytes(ouch.ENTER_ORDER, {"user_ref": user_ref, "clordid": row.cl_ord_id}, missing=0),
            Const(0, 8),
            Const(0, 8),
            *_appendage(row.firm)[2:],
        ]
        order_terms, none = checksum_terms(own)
        assert none == 0
        header, depth = registered_sum(m, [*terms, Const(header_constant)], name="header_sum")
        order, _ = registered_sum(
            m, [*order_terms, Mux(has_firm, literals[1], literals[0])], name="order_sum", stages=depth
        )
        self.order_base, _ = registered_sum(m, [header, order], name="order_base")
        self.inject_base, _ = registered_sum(m, [header, inject_total, inject_length], name="inject_base")

    def frame(
        self,
        m: Module,
        *,
        is_order: Value,
        base: Value,
        order,
        seq: Value,
        user_ref: Value,
        ack: Value,
        window: Value,
        total: Value,
    ) -> tuple[list[Value], list[Value]]:
        """Words of the order's frame under way, and of the headers of any frame.

        Parameters
        ----------
        is_order, base, order, seq, user_ref, ack, window: of the frame, from the cycle after it began on; `base` is
            `order_base` or `inject_base` of the cycle in which it began.
        total: its IP total length.

        Raises
        ------
        ValueError: a checksum would be late.
        """
        values = self._order_values(order)
        ip_sum, tcp_sum = self._frame_sums(m, is_order, base, values, ack, window, total)
        row, has_firm = self._row, self._has_firm
        headers = [
            *message_bytes(
                net.ETHERNET,
                {"destination_mac": row.dst_mac, "source_mac": row.src_mac, "ethertype": net.ETHERTYPE_IPV4},
            ),
            *message_bytes(
                net.IPV4,
                {
                    **_IP_CONSTANTS,
                    "total_length": total,
                    "checksum": ~ip_sum,
                    "source_ip": row.src_ip,
                    "destination_ip": row.dst_ip,
                },
            ),
            *message_bytes(
                net.TCP,
                {
                    **_TCP_CONSTANTS,
                    "source_port": row.src_port,
                    "destination_port": row.dst_port,
                    "sequence": seq,
                    "acknowledgment": ack,
                    "window": window,
                    "checksum": ~tcp_sum,
                },
            ),
        ]
        bare_soup, bare_ouch = _order_constants(0)
        firm_soup, firm_ouch = _order_constants(APPENDAGE_SIZE)
        payload = [
            *message_bytes(
                soup.UNSEQUENCED_DATA,
                {**bare_soup, "length": Mux(has_firm, firm_soup["length"], bare_soup["length"])},
            ),
            *message_bytes(
                ouch.ENTER_ORDER,
                {
                    **bare_ouch,
                    **values,
                    "user_ref": user_ref,
                    "clordid": row.cl_ord_id,
                    "appendage_length": Mux(has_firm, firm_ouch["appendage_length"], bare_ouch["appendage_length"]),
                },
            ),
            *_appendage(row.firm),
        ]
        return words([*headers, *payload]), words(headers)

    @staticmethod
    def _order_values(order) -> dict[str, Value]:
        """Fields of Enter Order that the order itself fills."""
        return {
            "side": Mux(order.side, ouch.Side.SELL.value[0], ouch.Side.BUY.value[0])[:8],
            "quantity": order.quantity,
            "symbol": order.symbol,
            "price_e4": order.price_e4,
            "time_in_force": order.tif,
            "display": order.display,
            "capacity": order.capacity,
        }

    def _frame_sums(self, m, is_order, base, values, ack, window, total) -> tuple[Value, Value]:
        """Sums of the IP header and of the TCP segment that begins, there when the words that hold them are loaded."""
        order_terms, none = checksum_terms(
            [*message_bytes(soup.UNSEQUENCED_DATA, {}, missing=0), *message_bytes(ouch.ENTER_ORDER, values, missing=0)]
        )
        assert none == 0
        frame_terms, _ = checksum_terms(message_bytes(net.TCP, {"acknowledgment": ack, "window": window}, missing=0))
        fields, depth = registered_sum(m, order_terms, name="fields_sum", gate=is_order)
        frame, _ = registered_sum(m, [*frame_terms, base], name="frame_sum", stages=depth)
        summed, more = registered_sum(m, [fields, frame], name="tcp_sum")
        fold = Signal(17, reset_less=True)
        tcp_sum = Signal(16, reset_less=True)
        if "checksum_carry_lost" in self._faults:
            m.d.sync += fold.eq(summed[:16])
        else:
            m.d.sync += fold.eq(folded(summed))
        m.d.sync += tcp_sum.eq(folded(fold))
        # The fields are there one cycle after the transfer; word n is loaded n cycles after it.
        ready_after = 1 + depth + more + 2
        if ready_after > _TCP_CHECKSUM_WORD:
            raise ValueError(f"the TCP checksum is {ready_after - _TCP_CHECKSUM_WORD} cycles late")

        ip_total = Signal(17, reset_less=True)
        ip_sum = Signal(16, reset_less=True)
        m.d.sync += ip_total.eq(self._ip_base + total)
        m.d.sync += ip_sum.eq(ip_total[:16] if "ip_carry_lost" in self._faults else folded(ip_total))
        if 1 + 2 > _IP_CHECKSUM_WORD:
            raise ValueError("the IP checksum is late")
        return ip_sum, tcp_sum

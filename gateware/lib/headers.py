"""Headers of a market data frame: Ethernet II, one 802.1Q tag or none, IPv4, UDP, MoldUDP64."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.layouts import layout
from tickgate.gateware.lib.lines import LINE_WORD
from tickgate.sw.spec import mold, net
from tickgate.sw.spec.rows import FEED_ROW
from tickgate.sw.spec.state import Drop

#: The causes that a whole header can have, in the order in which the first one wins.
CAUSES = tuple(d for d in Drop if Drop.RUNT < d <= Drop.SESSION)

_UDP_AT = net.ETHERNET_SIZE + net.IPV4_SIZE
_MOLD_AT = net.UDP_PAYLOAD_OFFSET
#: Bytes of an untagged frame in front of the first block's length field.
HEADER_BYTES = _MOLD_AT + mold.HEADER_SIZE
#: Word that holds the last header byte, without a tag and with one.
LAST_WORD = (HEADER_BYTES - 1) // 8
LAST_WORD_TAGGED = (HEADER_BYTES - 1 + net.VLAN_SIZE) // 8
#: Lane of the last header byte in these.
LAST_LANE = (HEADER_BYTES - 1) % 8
LAST_LANE_TAGGED = (HEADER_BYTES - 1 + net.VLAN_SIZE) % 8
_UDP_LENGTH_MIN = net.UDP_SIZE + mold.HEADER_SIZE


def big_endian(word, first, size):
    """`size` bytes from lane `first` on, as the integer that they are on the wire."""
    return Cat(word[8 * lane : 8 * lane + 8] for lane in reversed(range(first, first + size)))


class Headers(wiring.Component):
    """Judges the headers while their words pass, none later than the first byte behind them needs it.

    Stages are counted from `word` (0). With a tag, words are put together again from halves (everything stands 4 bytes
    later), so that both kinds of frame meet the same comparisons.

    Members
    -------
    word: In(LINE_WORD).
    valid: In(1), `word` is a new one.
    row: In(layout(FEED_ROW)), what is accepted.
    tagged: Out(1), with stage 1: the frame has a tag; right from its third word on.
    whole_plain, whole_tagged: Out(1), with stage 1: the word completes the header of a frame without, or with, a tag.
    bad: Out(len(CAUSES)), with stage 2 of the last header word: bit a cause. good: Out(1), none of them, known sooner.
    seq: Out(64), with stage 1 of word 7: MoldUDP64 sequence number.
    count: Out(16), with stage 1 of the last header word: its message count.
    room: Out(signed(18)), with stage 1 of the last header word and of those behind it: bytes from the word's lane 0 to
        the end of the UDP datagram; negative far behind it.
    room_behind: Out(17), the same and two more, as long as `room` is not negative.
    empty: Out(1), with stage 1 of the last header word: too short for one block's length field.
    """

    def __init__(self, faults: frozenset[str] = frozenset()):
        self._faults = faults
        super().__init__(
            {
                "word": In(LINE_WORD),
                "valid": In(1),
                "row": In(layout(FEED_ROW)),
                "tagged": Out(1),
                "whole_plain": Out(1),
                "whole_tagged": Out(1),
                "bad": Out(len(CAUSES)),
                "good": Out(1),
                "seq": Out(64),
                "count": Out(16),
                "room": Out(signed(18)),
                "room_behind": Out(17),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, index = self.word.data, self.word.index
        with m.If(self.valid):
            with m.If(index[0]):
                m.d.sync += self.tagged.eq(0)
            with m.If(index[1]):
                m.d.sync += self.tagged.eq(self._at(word, "ethernet", "ethertype") == net.ETHERTYPE_VLAN)

        fits_plain = index[LAST_WORD] & self.word.mask[LAST_LANE]
        fits_tagged = index[LAST_WORD_TAGGED] & self.word.mask[LAST_LANE_TAGGED]
        m.d.sync += [
            self.whole_plain.eq(self.valid & ~self.tagged & fits_plain),
            self.whole_tagged.eq(self.valid & self.tagged & fits_tagged),
        ]

        # Untagged form: word k is whole with raw word k, or with the first half of raw word k + 1.
        upper = Signal(32)
        aligned, at = Signal(64), Signal(9)
        with m.If(self.valid):
            m.d.sync += upper.eq(word[32:])
            m.d.sync += aligned.eq(Mux(self.tagged, Cat(upper, word[:32]), word))
        m.d.sync += at.eq(Mux(self.valid, Mux(self.tagged, index[1:10], index[:9]), 0))

        self._numbers(m, word, index)
        self._judge(m, aligned, at)
        return m

    @staticmethod
    def _at(word, header, name):
        """A field that lies in one word."""
        base, table = {
            "ethernet": (0, net.ETHERNET),
            "ipv4": (net.ETHERNET_SIZE, net.IPV4),
            "udp": (_UDP_AT, net.UDP),
        }[header]
        field = table.field(name)
        return big_endian(word, (base + field.offset) % 8, field.size)

    def _numbers(self, m, word, index):
        """Sequence number and count, from the raw words: they are wanted a word earlier than the aligned ones come."""
        with m.If(self.valid & self.tagged):
            with m.If(index[7]):
                m.d.sync += self.seq.eq(big_endian(word, 0, 8))
            with m.If(index[8]):
                m.d.sync += self.count.eq(big_endian(word, 0, 2))
        with m.Elif(self.valid):
            with m.If(index[6]):
                m.d.sync += self.seq[32:].eq(big_endian(word, 4, 4))
            with m.If(index[7]):
                m.d.sync += [self.seq[:32].eq(big_endian(word, 0, 4)), self.count.eq(big_endian(word, 4, 2))]

    def _judge(self, m, aligned, at):
        """A flip-flop a cause, written when its word passes, so that nothing has to be cleared between frames."""
        bad = {cause: Signal(name=f"bad_{cause.name.lower()}") for cause in CAUSES}
        wrong_ip_upper, wrong_ip_lower, wrong_port = Signal(), Signal(), Signal()
        wrong_session_upper, wrong_session_lower = Signal(), Signal()
        total_length, udp_length = Signal(16), Signal(16)
        row = self.row
        with m.If(at[1]):
            version_ihl = self._at(aligned, "ipv4", "version_ihl")
            m.d.sync += [
                bad[Drop.ETHERTYPE].eq(self._at(aligned, "ethernet", "ethertype") != net.ETHERTYPE_IPV4),
                bad[Drop.IP_VERSION].eq(version_ihl[4:] != net.IPV4_VERSION_IHL >> 4),
                bad[Drop.IP_OPTIONS].eq(version_ihl[:4] != net.IPV4_VERSION_IHL & 15),
            ]
        with m.If(at[2]):
            flags = self._at(aligned, "ipv4", "flags_fragment")
            m.d.sync += [
                total_length.eq(self._at(aligned, "ipv4", "total_length")),
                bad[Drop.IP_FRAGMENT].eq((flags & (net.IPV4_FLAG_MF | net.IPV4_FRAGMENT_OFFSET_MASK)).any()),
                bad[Drop.IP_PROTOCOL].eq(self._at(aligned, "ipv4", "protocol") != net.PROTOCOL_UDP),
            ]
        with m.If(at[3]):
            m.d.sync += wrong_ip_upper.eq(big_endian(aligned, 6, 2) != row.dst_ip[16:])
        with m.If(at[4]):
            m.d.sync += [
                wrong_ip_lower.eq(big_endian(aligned, 0, 2) != row.dst_ip[:16]),
                wrong_port.eq(self._at(aligned, "udp", "destination_port") != row.dst_port),
                udp_length.eq(self._at(aligned, "udp", "length")),
            ]
        with m.If(at[5]):
            m.d.sync += wrong_session_upper.eq(big_endian(aligned, _MOLD_AT % 8, 6) != row.session[32:])
        with m.If(at[6]):
            m.d.sync += wrong_session_lower.eq(big_endian(aligned, 0, 4) != row.session[:32])

        # From here on a cycle a step, for every word may be followed by the next one at once.
        to_end = net.UDP_PAYLOAD_OFFSET - net.UDP_SIZE
        room_plain = to_end - 8 * LAST_WORD
        room_tagged = to_end + net.VLAN_SIZE - 8 * LAST_WORD_TAGGED
        behind = mold.BLOCK_LENGTH_SIZE + (8 if "padding_counts" in self._faults else 0)
        first_room, first_room_behind = Signal(signed(18)), Signal(17)
        m.d.sync += [
            bad[Drop.LENGTH].eq((udp_length < _UDP_LENGTH_MIN) | (udp_length + net.IPV4_SIZE > total_length)),
            first_room.eq(udp_length + Mux(self.tagged, room_tagged, room_plain)),
            first_room_behind.eq(udp_length + Mux(self.tagged, room_tagged + behind, room_plain + behind)),
            self.empty.eq(udp_length < _UDP_LENGTH_MIN + mold.BLOCK_LENGTH_SIZE),
        ]
        with m.If(self.valid & Mux(self.tagged, self.word.index[LAST_WORD_TAGGED], self.word.index[LAST_WORD])):
            m.d.sync += [self.room.eq(first_room), self.room_behind.eq(first_room_behind)]
        with m.Elif(self.valid & (self.room >= 0)):
            m.d.sync += [self.room.eq(self.room - 8), self.room_behind.eq(self.room_behind - 8)]
        self._checksum(m, aligned, at, bad[Drop.IP_CHECKSUM])
        m.d.comb += bad[Drop.DESTINATION].eq(wrong_ip_upper | wrong_ip_lower | wrong_port)
        m.d.comb += bad[Drop.SESSION].eq(wrong_session_upper | wrong_session_lower)
        m.d.comb += self.bad.eq(Cat(bad[cause] for cause in CAUSES))
        # What of it stands a word before the last one is gathered there.
        late = (wrong_session_lower, bad[Drop.IP_CHECKSUM])
        early = [bad[cause] for cause in CAUSES if cause not in (Drop.SESSION, Drop.IP_CHECKSUM)]
        bad_early = Signal()
        m.d.sync += bad_early.eq(Cat(*early, wrong_session_upper).any())
        m.d.comb += self.good.eq(~Cat(bad_early, *late).any())

    def _checksum(self, m, aligned, at, wrong):
        """Sum of the ten halfwords; it is right when sum modulo 65,536 and what is above it add up to 65,535."""
        halves = [big_endian(aligned, 2 * half, 2) for half in range(4)]
        used = (at[2:5].any(), at[2:4].any(), at[2:4].any(), at[1:4].any())
        terms = [Mux(use, half, 0) for use, half in zip(used, halves, strict=True)]
        part, part_first, part_valid = Signal(18), Signal(), Signal()
        m.d.sync += [
            part.eq((terms[0] + terms[1]) + (terms[2] + terms[3])),
            part_first.eq(at[1]),
            part_valid.eq(at[1:5].any()),
        ]
        total = Signal(20)
        with m.If(part_valid):
            m.d.sync += total.eq(Mux(part_first, 0, total) + part)
        carries = 0 if "checksum_carry_lost" in self._faults else total[16:]
        m.d.sync += wrong.eq(total[:16] + carries != 0xFFFF)

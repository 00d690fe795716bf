"""Faults of the line and of the feed, put into frames: loss, repeats, disorder, damage, and a start in mid-session.

Each kind has a rate (a share of the frames) and its own stream of random numbers: turning one on does not move the
others. A frame can suffer several faults; `tickgate.sw.generate.damage` holds what happens to headers.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from tickgate.sw.files.frames import Datagram
from tickgate.sw.generate.damage import HEADER_DAMAGE, block_offsets, locate_mold
from tickgate.sw.generate.draws import Draws
from tickgate.sw.spec import itch, mold
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.fields import Message

DELAY_MAX: Final = 4
"""A frame that is repeated or late comes at most this many frames behind its place."""
_DRAWS: Final = 1 << 12


class Frame(NamedTuple):
    """A frame as a device takes it: time, bytes, and whether the line marked it as broken (FCS)."""

    time_ns: int
    data: bytes
    error: bool = False


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Which faults, and how often; every rate is a share of the frames, 0 to 1.

    Parameters
    ----------
    loss : float
        The frame does not come.
    duplicate : float
        It comes again, up to 4 frames later.
    reorder : float
        It comes up to 4 frames late.
    corrupt_header : float
        One field of the Ethernet, IP, UDP or MoldUDP64 header is wrong, or the frame is cut.
    corrupt_length : float
        The length of one block is wrong: below 12, past the packet, or one too many.
    corrupt_type : float
        The type of one message is unknown, or that of a message of another length.
    corrupt_payload : float
        One field of an order message is wrong: reference, locate, side, quantity or price.
    error : float
        The line marks the frame as broken; its bytes are right.
    start : int
        Packets that end before this message (from 0) do not come: the capture begins in mid-session.
    seed : int

    Raises
    ------
    UserError
        An option out of range.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt_header: float = 0.0
    corrupt_length: float = 0.0
    corrupt_type: float = 0.0
    corrupt_payload: float = 0.0
    error: float = 0.0
    start: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in RATES:
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise UserError(f"{name.replace('_', '-')} is a share of the frames, 0 to 1, not {rate}")
        if self.start < 0:
            raise UserError(f"start counts messages from 0, not {self.start}")
        if not 0 <= self.seed < 2**64:
            raise UserError(f"fault seed must be from 0 to 2**64 - 1, not {self.seed}")

    @property
    def any(self) -> bool:
        """Whether there is any fault at all."""
        return bool(self.start) or any(getattr(self, name) for name in RATES)


RATES: Final = tuple(row.name for row in fields(FaultOptions) if row.name not in ("start", "seed"))
"""The options that are rates."""


class _Dice:
    """Random numbers of one kind of fault."""

    def __init__(self, options: FaultOptions, kind: str):
        self._draws = Draws(options.seed, 1 + RATES.index(kind))
        self._rate = getattr(options, kind)
        self._hits: list[bool] = []
        self._values: list[int] = []

    def hit(self) -> bool:
        """Whether the next frame has the fault."""
        if not self._rate:
            return False
        if not self._hits:
            self._hits = (self._draws.unit(_DRAWS) < self._rate).tolist()
        return self._hits.pop()

    def below(self, end: int) -> int:
        """An integer 0 to `end` - 1."""
        if not self._values:
            self._values = self._draws.below(_DRAWS, 1 << 31).tolist()
        return self._values.pop() * end >> 31


class Faults:
    """Puts faults into one sequence of frames.

    Parameters
    ----------
    options : FaultOptions

    Members
    -------
    counts : Counter of str
        What was done so far: faults by `kind` and, for damage, by `kind.what`; and `frames_in`, `frames_out`.
    """

    def __init__(self, options: FaultOptions):
        self.options = options
        self.counts: Counter[str] = Counter()
        self._dice = {kind: _Dice(options, kind) for kind in RATES}
        self._references: deque[bytes] = deque(maxlen=8)
        self._locates: deque[bytes] = deque(maxlen=8)

    def apply(self, frames: Iterable[tuple[int, bytes]]) -> Iterator[Frame]:
        """The frames with the faults; times never go back. To be called once."""
        late: list[tuple[int, bytes, bool]] = []  # frames to wait for, bytes, error
        now = 0
        for time_ns, data in frames:
            self.counts["frames_in"] += 1
            now = max(now, time_ns)
            if self._before_start(data):
                self.counts["start"] += 1
                continue
            if self._hit("loss"):
                frame = None
            else:
                frame = (self._damaged(data), self._hit("error"))
                if self._hit("duplicate"):
                    late.append((1 + self._dice["duplicate"].below(DELAY_MAX), *frame))
                if self._hit("reorder"):
                    late.append((1 + self._dice["reorder"].below(DELAY_MAX), *frame))
                    frame = None
            # A frame that waits lets `DELAY_MAX` others pass at most: also those that are lost count as places.
            waiting = []
            if frame is not None:
                yield self._out(now, *frame)
            for places, held, error in late:
                if places:
                    waiting.append((places - 1, held, error))
                else:
                    yield self._out(now, held, error)
            late = waiting
        for _places, held, error in late:
            yield self._out(now, held, error)

    def _out(self, time_ns: int, data: bytes, error: bool) -> Frame:
        self.counts["frames_out"] += 1
        return Frame(time_ns, data, error)

    def _hit(self, kind: str) -> bool:
        if not self._dice[kind].hit():
            return False
        self.counts[kind] += 1
        return True

    def _before_start(self, data: bytes) -> bool:
        where = locate_mold(data) if self.options.start else None
        if where is None:
            return False
        _session, sequence, count = mold.HEADER.unpack_tuple(data, where.start)
        # Sequence numbers start at 1; a heartbeat or the end of the session names the next one.
        last = sequence if count in (mold.HEARTBEAT, mold.END_OF_SESSION) else sequence + count - 1
        return last <= self.options.start

    def _damaged(self, data: bytes) -> bytes:
        where = locate_mold(data)
        if where is None:
            return data
        blocks = block_offsets(data, where)
        if blocks:
            data = self._remember_and_damage_payload(data, blocks)
            if self._hit("corrupt_type"):
                data = self._corrupt_type(data, blocks)
            if self._hit("corrupt_length"):
                data = self._corrupt_length(data, where, blocks)
        if self._hit("corrupt_header"):
            data = self._corrupt_header(data, where)
        return data

    def _did(self, kind: str, what: str) -> None:
        self.counts[f"{kind}.{what}"] += 1

    def _remember_and_damage_payload(self, data: bytes, blocks: list[int]) -> bytes:
        if not self._dice["corrupt_payload"].hit():
            self._remember(data, blocks)
            return data
        candidates = [block for block in blocks if data[block + 2] in itch.BOOK_TYPES]
        if not candidates:
            return data
        dice = self._dice["corrupt_payload"]
        block = candidates[dice.below(len(candidates))]
        table = itch.MESSAGES[data[block + 2]]
        choices = [(what, change) for what, change in self._payload_changes(table) if change is not None]
        what, (name, value) = choices[dice.below(len(choices))]
        field = table.field(name)
        start = block + 2 + field.offset
        old = data[start : start + field.size]
        new = value(old) if callable(value) else value
        if new == old:
            return data
        self.counts["corrupt_payload"] += 1
        self._did("corrupt_payload", what)
        return data[:start] + new + data[start + field.size :]

    def _payload_changes(self, table: Message) -> "list[tuple[str, _Change | None]]":
        names = table.names
        reference = "original_reference" if "original_reference" in names else "reference"
        fresh = {"add_order": "reference", "add_order_mpid": "reference", "order_replace": "new_reference"}.get(
            table.name
        )
        dice = self._dice["corrupt_payload"]
        known = self._references[dice.below(len(self._references))] if self._references else None
        other = self._locates[dice.below(len(self._locates))] if self._locates else None
        return [
            ("reference", (reference, _flip_high_bit)),
            ("duplicate_reference", (fresh, known) if fresh and known else None),
            ("locate", ("stock_locate", other) if other else None),
            ("side", ("side", b"X") if "side" in names else None),
            ("quantity_zero", ("shares", bytes(4)) if "shares" in names else None),
            ("quantity_excess", ("shares", b"\x00\x98\x96\x7f") if "shares" in names else None),
            ("price_zero", ("price_e4", bytes(4)) if "price_e4" in names else None),
            ("price", ("price_e4", _flip_low_bits) if "price_e4" in names else None),
        ]

    def _remember(self, data: bytes, blocks: list[int]) -> None:
        if not self.options.corrupt_payload:
            return
        block = blocks[-1]
        if data[block + 2] in (itch.ADD_ORDER.type_byte, itch.ADD_ORDER_MPID.type_byte):
            self._references.append(data[block + 13 : block + 21])
        self._locates.append(data[block + 3 : block + 5])

    def _corrupt_type(self, data: bytes, blocks: list[int]) -> bytes:
        dice = self._dice["corrupt_type"]
        block = blocks[dice.below(len(blocks))]
        length = int.from_bytes(data[block : block + 2], "big")
        if dice.below(2):
            what, code = "unknown", b"Zz!~\x00"[dice.below(5)]
        else:
            codes = [code for code, size in itch.LENGTHS.items() if size != length]
            what, code = "wrong_length", codes[dice.below(len(codes))]
        self._did("corrupt_type", what)
        return data[: block + 2] + bytes([code]) + data[block + 3 :]

    def _corrupt_length(self, data: bytes, where: Datagram, blocks: list[int]) -> bytes:
        dice = self._dice["corrupt_length"]
        block = blocks[dice.below(len(blocks))]
        length = int.from_bytes(data[block : block + 2], "big")
        what = ("short", "overrun", "one_more")[dice.below(3)]
        value = {
            "short": dice.below(itch.MIN_BLOCK),
            "overrun": min(0xFFFF, where.end - block + dice.below(1 << 15)),
            "one_more": length + 1,
        }[what]
        self._did("corrupt_length", what)
        return data[:block] + value.to_bytes(2, "big") + data[block + 2 :]

    def _corrupt_header(self, data: bytes, where: Datagram) -> bytes:
        dice = self._dice["corrupt_header"]
        what, change = HEADER_DAMAGE[dice.below(len(HEADER_DAMAGE))]
        self._did("corrupt_header", what)
        return change(data, where, dice.below)


_Change = tuple[str, "bytes | Callable[[bytes], bytes]"]


def _flip_high_bit(old: bytes) -> bytes:
    return bytes([old[0] ^ 0x40]) + old[1:]


def _flip_low_bits(old: bytes) -> bytes:
    return old[:-1] + bytes([old[-1] ^ 0x2D])


def apply_faults(
    frames: Iterable[tuple[int, bytes]], options: FaultOptions, counts: Counter[str] | None = None
) -> Iterator[Frame]:
    """The frames (time_ns, bytes) with faults; `counts`, where given, is filled with what was done.

    Equal frames and options give equal results on every machine.
    """
    faults = Faults(options)
    if counts is not None:
        faults.counts = counts
    return faults.apply(frames)

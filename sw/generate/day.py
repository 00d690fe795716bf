"""A whole day in order: directory, pre-market, opening, market hours with their halts, closing, end.

`blocks` is the fast way, `session` the convenient one. Memory is bounded: the books, and one block of messages.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tickgate.sw.files.block import LENGTH_SIZE, Block
from tickgate.sw.generate import wire
from tickgate.sw.generate.draws import Draws
from tickgate.sw.generate.flow import MPIDS, Flow, participant
from tickgate.sw.generate.options import ADMINISTRATION_SHARE_MAX, SessionOptions
from tickgate.sw.generate.symbols import (
    OPERATIONAL_HALT,
    STUBS,
    TRADING_HALT,
    SymbolBook,
    busy_order,
    busy_weights,
    make_books,
)
from tickgate.sw.spec import itch
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.fields import Message

BLOCK_MESSAGES: Final = 1 << 14
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS

START_OF_MESSAGES_NS: Final = 3 * HOUR_NS
SYSTEM_OPEN_NS: Final = 4 * HOUR_NS
MARKET_OPEN_NS: Final = 9 * HOUR_NS + 30 * MINUTE_NS
MARKET_CLOSE_NS: Final = 16 * HOUR_NS
SYSTEM_CLOSE_NS: Final = 20 * HOUR_NS
END_OF_MESSAGES_NS: Final = SYSTEM_CLOSE_NS + 5 * MINUTE_NS

PRE_MARKET_SHARE: Final = 0.03
POST_MARKET_SHARE: Final = 0.01
BREAKER_AT: Final = 0.96
BREAKER_END: Final = 0.97
STUB_BID_TICKS: Final = 1
STUB_ASK_E4: Final = 1_999_999_900
"""Stub quotes: a bid of one tick (0.01 dollars) and an ask of 199,999.99 dollars."""
STUB_SHARES: Final = 100
EXCURSION_TICKS: Final = 800
EXCURSION_PULL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a share of market hours' messages, and how many messages it makes."""

    at: float
    messages: int
    act: Callable[[], None]


class Session:
    """Generates one session.

    Parameters
    ----------
    options : SessionOptions

    Members
    -------
    options : SessionOptions
    books : list of SymbolBook
        By rank, the busiest first; their state is that after the latest message.

    Raises
    ------
    UserError
        Fewer messages than the administrative ones of that many symbols leave room for.
    """

    def __init__(self, options: SessionOptions):
        self.options = options
        draws = Draws(options.seed)
        self._draws = draws
        order = busy_order(options, draws)
        self.books = make_books(options, order, draws)
        self._by_locate = sorted(self.books, key=lambda book: book.locate)
        self._flow = Flow(options, self.books, busy_weights(options), draws)
        self._stubs: list[tuple[SymbolBook, int]] = []
        # A short session of many symbols would hold little else: some messages come for the busiest symbols only.
        self._some = self.books[: max(1, min(options.symbols, options.messages // 400))]
        self._steps = sorted(self._plan(), key=lambda step: step.at)
        # System events, V, R and H; then Y, L, stub quotes, one deletion, opening and closing cross.
        fixed = 6 + 1 + 2 * options.symbols + (2 + STUBS + 1 + 2) * len(self._some)
        fixed += sum(step.messages for step in self._steps)
        if fixed > options.messages * ADMINISTRATION_SHARE_MAX:
            least = int(fixed / ADMINISTRATION_SHARE_MAX) + 1
            raise UserError(
                f"a session of {options.symbols:,} symbols needs more than {options.messages:,} messages: "
                f"about {least:,} at least"
            )
        self._flow_messages = options.messages - fixed

    def blocks(self) -> Iterator[Block]:
        """The messages in blocks of about 16,384; to be called once."""
        index = 0
        for _ in self._day():
            records = self._flow.records
            if len(records) >= BLOCK_MESSAGES:
                yield _take(records, index)
                index += len(records)
                records.clear()
        if self._flow.records:
            yield _take(self._flow.records, index)
            self._flow.records.clear()

    def _day(self) -> Iterator[None]:
        """Append the records of the day; yields between portions."""
        before = int(self._flow_messages * PRE_MARKET_SHARE)
        after = int(self._flow_messages * POST_MARKET_SHARE)
        within = self._flow_messages - before - after
        self._start_of_day()
        yield
        yield from self._phase(SYSTEM_OPEN_NS, MARKET_OPEN_NS, before, [])
        self._event(b"Q", MARKET_OPEN_NS)
        self._crosses(self._some, b"O")
        yield from self._phase(MARKET_OPEN_NS, MARKET_CLOSE_NS, within, self._steps)
        self._event(b"M", MARKET_CLOSE_NS)
        self._crosses(self._some, b"C")
        yield from self._phase(MARKET_CLOSE_NS, SYSTEM_CLOSE_NS, after, [])
        self._delete_stubs()
        self._event(b"E", SYSTEM_CLOSE_NS)
        self._event(b"C", END_OF_MESSAGES_NS)
        yield

    def _phase(self, start_ns: int, end_ns: int, messages: int, steps: list[Step]) -> Iterator[None]:
        flow = self._flow
        flow.begin_phase(start_ns, end_ns, messages)
        done = 0
        for at, act in [(min(int(step.at * messages), messages), step.act) for step in steps] + [(messages, None)]:
            while done < at:
                portion = min(at - done, BLOCK_MESSAGES)
                flow.run(portion)
                done += portion
                yield
            if act is not None:
                act()

    def _put(self, message: Message, locate: int, **values: Any) -> None:
        self._flow.records.append(wire.administrative(message, locate, self._flow.time_ns, **values))

    def _event(self, code: bytes, time_ns: int) -> None:
        self._flow.time_ns = max(self._flow.time_ns, time_ns)
        self._put(itch.SYSTEM_EVENT, 0, event_code=code)

    def _action(self, book: SymbolBook, state: bytes, reason: bytes) -> None:
        book.halted = book.halted & ~TRADING_HALT | (0 if state == b"T" else TRADING_HALT)
        self._put(itch.TRADING_ACTION, book.locate, stock=book.stock, trading_state=state, reserved=b" ", reason=reason)

    def _start_of_day(self) -> None:
        flow = self._flow
        self._event(b"O", START_OF_MESSAGES_NS)
        for book in self._by_locate:
            flow.time_ns += 1_000
            self._put(
                itch.STOCK_DIRECTORY, book.locate, stock=book.stock, market_category=b"QGS"[book.locate % 3 :][:1],
                financial_status=b"N", round_lot_size=100, round_lots_only=b"N", issue_classification=b"C",
                issue_subtype=b"Z", authenticity=b"P", short_sale_threshold=b"N", ipo_flag=b"N",
                luld_tier=b"12"[book.locate % 2 :][:1], etp_flag=b"N", etp_leverage=0, inverse=b"N",
            )  # fmt: skip
        for book in self._by_locate:
            flow.time_ns += 1_000
            self._action(book, b"T", b"")
        for book in self._some:
            self._put(itch.REG_SHO, book.locate, stock=book.stock, reg_sho_action=b"0")
            flow.records.append(participant(book, flow.time_ns, MPIDS[book.locate % 4], b"A"))
        self._event(b"S", SYSTEM_OPEN_NS)
        self._put(itch.MWCB_DECLINE_LEVEL, 0, level1_e8=3_000_00000000, level2_e8=2_800_00000000,
                  level3_e8=2_600_00000000)  # fmt: skip
        for book in self._some:
            self._add_stub(book, b"B", STUB_BID_TICKS * book.tick_e4)
            self._add_stub(book, b"S", STUB_ASK_E4)

    def _add_stub(self, book: SymbolBook, side: bytes, price_e4: int) -> None:
        reference = self._flow.new_reference(book)
        self._stubs.append((book, reference))
        self._put(itch.ADD_ORDER_MPID, book.locate, reference=reference, side=side, shares=STUB_SHARES,
                  stock=book.stock, price_e4=price_e4, mpid=MPIDS[0])  # fmt: skip

    def _delete_stubs(self) -> None:
        # One deletion for each pair, so that stub quotes also outlive the day.
        for book, reference in self._stubs[::STUBS]:
            self._put(itch.ORDER_DELETE, book.locate, reference=reference)

    def _crosses(self, books: list[SymbolBook], kind: bytes) -> None:
        flow = self._flow
        for book in books:
            flow.match_number += 1
            self._put(itch.CROSS_TRADE, book.locate, shares=1_000 * (1 + book.locate % 9), stock=book.stock,
                      price_e4=book.fair_e4, match_number=flow.match_number, cross_type=kind)  # fmt: skip

    def _plan(self) -> Iterator[Step]:
        """What happens in market hours beside the order flow."""
        options = self.options
        busy = self.books[: min(options.symbols, 16)]
        pauses = max(2, min(400, options.messages // 50_000))
        for number in range(pauses):
            book = busy[self._draws.one_below(len(busy))]
            start = 0.03 + 0.90 * number / pauses
            yield from self._pause(book, start, 0.4 / pauses, b"P" if number % 2 else b"H")
        operational = max(1, min(100, options.messages // 200_000))
        for number in range(operational):
            book = busy[self._draws.one_below(len(busy))]
            start = 0.05 + 0.85 * number / operational
            yield self._operational(book, start, b"H")
            yield self._operational(book, start + 0.02 / operational, b"T")
        for number in range(options.excursion_count):
            book = self.books[self._draws.one_below(min(options.symbols, 3))]
            start = 0.08 + 0.80 * number / options.excursion_count
            yield from self._excursion(book, start, min(0.08, 0.20 / options.excursion_count))
        yield Step(0.10, 2, self._new_listing(busy[-1]))
        yield Step(0.12, 1, self._retail(busy[0]))
        if options.breaker:
            yield Step(BREAKER_AT, 1 + options.symbols, self._breaker)
            yield Step(BREAKER_END, options.symbols + len(self._some), self._breaker_end)

    def _pause(self, book: SymbolBook, start: float, duration: float, state: bytes) -> Iterator[Step]:
        """Halt (H) or pause (P), auction collar, quotation (Q), cross, trading (T)."""

        def begin() -> None:
            self._action(book, state, b"T1" if state == b"H" else b"LUDP")
            price_e4 = book.fair_e4
            band_e4 = price_e4 // 20
            self._put(itch.LULD_AUCTION_COLLAR, book.locate, stock=book.stock, reference_price_e4=price_e4,
                      upper_price_e4=price_e4 + band_e4, lower_price_e4=price_e4 - band_e4, extension=0)  # fmt: skip

        def quote() -> None:
            self._action(book, b"Q", b"T3" if state == b"H" else b"LUDP")

        def resume() -> None:
            self._crosses([book], b"H")
            self._action(book, b"T", b"")

        yield Step(start, 2, begin)
        yield Step(start + duration * 0.6, 1, quote)
        yield Step(start + duration, 2, resume)

    def _operational(self, book: SymbolBook, at: float, action: bytes) -> Step:
        def act() -> None:
            book.halted = book.halted & ~OPERATIONAL_HALT | (OPERATIONAL_HALT if action == b"H" else 0)
            self._put(itch.OPERATIONAL_HALT, book.locate, stock=book.stock, market_code=b"Q", action=action)

        return Step(at, 1, act)

    def _excursion(self, book: SymbolBook, start: float, duration: float) -> Iterator[Step]:
        """The fair price leaves for a level far away, and comes back."""
        home = book.centre
        away = min(home + EXCURSION_TICKS, book.highest)

        def head_for(centre: float, pull: float) -> Callable[[], None]:
            def act() -> None:
                book.centre, book.pull = centre, pull

            return act

        yield Step(start, 0, head_for(away, EXCURSION_PULL))
        yield Step(start + duration * 0.4, 0, head_for(home, EXCURSION_PULL))
        yield Step(start + duration, 0, head_for(home, book.rest_pull))

    def _new_listing(self, book: SymbolBook) -> Callable[[], None]:
        def act() -> None:
            price_e4 = book.fair_e4
            self._put(itch.QUOTING_PERIOD_UPDATE, book.locate, stock=book.stock, release_time_s=38_400,
                      release_qualifier=b"A", price_e4=price_e4)  # fmt: skip
            self._put(itch.DIRECT_LISTING, book.locate, stock=book.stock, open_eligibility=b"Y",
                      minimum_price_e4=price_e4 * 8 // 10, maximum_price_e4=price_e4 * 18 // 10,
                      near_execution_price_e4=price_e4, near_execution_time_ns=self._flow.time_ns,
                      lower_collar_e4=price_e4 * 9 // 10, upper_collar_e4=price_e4 * 11 // 10)  # fmt: skip

        return act

    def _retail(self, book: SymbolBook) -> Callable[[], None]:
        def act() -> None:
            self._put(itch.RPII, book.locate, stock=book.stock, interest_flag=b"B")

        return act

    def _breaker(self) -> None:
        self._put(itch.MWCB_STATUS, 0, breached_level=b"1")
        for book in self._by_locate:
            self._action(book, b"H", b"MWC1")

    def _breaker_end(self) -> None:
        for book in self._some:
            self._action(book, b"Q", b"MWCQ")
        for book in self._by_locate:
            self._action(book, b"T", b"")


def blocks(options: SessionOptions) -> Iterator[Block]:
    """The messages of a session in blocks, the fast way; `Packer` and `BinaryFileWriter` take them.

    Raises
    ------
    UserError
        As `Session`.
    """
    return Session(options).blocks()


def session(options: SessionOptions) -> Iterator[tuple[int, bytes]]:
    """(timestamp_ns, message) of each message of a session.

    Raises
    ------
    UserError
        As `Session`.
    """
    for block in Session(options).blocks():
        yield from zip(block.timestamps_ns.tolist(), block, strict=True)


def _take(records: list[bytes], first_index: int) -> Block:
    sizes = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    offsets = np.cumsum(sizes) - sizes + LENGTH_SIZE
    return Block(b"".join(records), offsets, sizes - LENGTH_SIZE, first_index)

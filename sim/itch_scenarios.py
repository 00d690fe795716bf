"""ITCH messages for tests, and the marked words in which the feed would deliver them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tickgate.sw.model.itch import Itch as Model
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import Notice
from tickgate.sw.spec.normalise import RULES
from tickgate.sw.spec.units import WORD_BYTES

#: Values of one-byte fields that mean something.
_CODES = {
    "side": b"BS",
    "trading_state": b"HPQT",
    "market_code": b"QBX",
    "action": b"HT",
    "event_code": b"OSQMEC",
    "breached_level": b"123",
}


@dataclass
class Item:
    """A message, and the notice in front of it."""

    data: bytes
    seq: int
    notice: int = Notice.NONE


def message(rng: random.Random, locates: list[int], code: int | None = None) -> bytes:
    """A message of a known type with random fields, of one of `locates` or seldom another one."""
    table = itch.MESSAGES[code if code is not None else rng.choice(list(itch.MESSAGES))]
    values: dict[str, Any] = {}
    for f in table.fields:
        if f.name == "type":
            continue
        if f.name == "stock_locate":
            other = rng.choice(locates) ^ (1 << rng.randrange(16))
            values[f.name] = rng.choice(locates) if rng.random() < 0.8 else other
        elif f.name in _CODES and rng.random() < 0.9:
            values[f.name] = bytes([rng.choice(_CODES[f.name])])
        elif f.is_integer:
            values[f.name] = rng.getrandbits(8 * f.size)
        else:
            values[f.name] = bytes(rng.choices(range(256), k=f.size))
    return table.pack(**values)


def traffic(rng: random.Random, count: int, locates: list[int], *, first_seq: int = 1) -> Iterator[Item]:
    """Seeded messages: all types, unknown types, wrong lengths, and notices in front of some."""
    unknown = sorted(set(range(256)) - set(itch.MESSAGES))
    book = sorted(itch.BOOK_TYPES)
    for seq in range(first_seq, first_seq + count):
        code = rng.choice(book) if rng.random() < 0.5 else None
        data = message(rng, locates, code)
        roll = rng.random()
        if roll < 0.05:
            data = bytes([rng.choice(unknown)]) + data[1:]
        elif roll < 0.1:
            data = data[: rng.randint(12, max(12, len(data) - 1))]
        elif roll < 0.15:
            data += bytes(rng.choices(range(256), k=rng.randint(1, 9)))
        notice = rng.choice((Notice.MARK, Notice.SYNC)) if rng.random() < 0.1 else Notice.NONE
        yield Item(data, seq, notice)


def feed_words(
    rng: random.Random, items: list[Item], *, packet: int = 4, lead: int | None = None
) -> Iterator[dict[str, int] | None]:
    """The items as FEED_WORD values, packets of up to `packet` messages in any lane (or `lead`), None between packets.

    Bytes between the messages are random, so that whatever is taken from there shows.
    """
    at = 0
    while at < len(items):
        run = items[at : at + rng.randint(1, packet)]
        at += len(run)
        first_lane = rng.randrange(WORD_BYTES) if lead is None else lead
        stream = bytearray(rng.choices(range(256), k=first_lane))
        marks: dict[int, dict[str, int]] = {}
        for item in run:
            begin, end = divmod(len(stream), WORD_BYTES), divmod(len(stream) + len(item.data) - 1, WORD_BYTES)
            marks.setdefault(begin[0], {}).update(start=1, start_lane=begin[1], length=len(item.data), seq=item.seq)
            if item.notice:
                marks[begin[0]].update(notice=int(item.notice), notice_seq=item.seq)
            marks.setdefault(end[0], {}).update(end=1, end_lane=end[1])
            stream += item.data + bytes(rng.choices(range(256), k=2))
        if rng.random() < 0.5:
            yield {"notice": int(Notice.GAP), "notice_seq": run[0].seq - 1, "notice_count": 1}
        for number in range(-(-(len(stream) - 2) // WORD_BYTES)):
            part = bytes(stream[number * WORD_BYTES : (number + 1) * WORD_BYTES]).ljust(WORD_BYTES, b"\xee")
            yield {"data": int.from_bytes(part, "little"), **marks.get(number, {})}
        for _ in range(rng.choice((1, 7, 12))):
            yield None


def expectation(
    words: Iterable[dict[str, int] | None], items: list[Item], locates: list[int]
) -> tuple[Model, list[dict[str, int]], list[dict[str, int]]]:
    """The model after these words (`locates` by slot), its trace records and its events, without measured fields."""
    model = Model({locate: slot for slot, locate in enumerate(locates)})
    by_seq, open_seq = {item.seq: item for item in items}, 0
    out: list[tuple[Any, Any]] = []
    for values in words:
        if values is None:
            continue
        if values.get("end"):
            out.append(model.message(open_seq, by_seq[open_seq].data))
        if values.get("notice"):
            out.append(model.notice(values["notice"], values["notice_seq"]))
        if values.get("start"):
            open_seq = values["seq"]
    records = [untimed(record._asdict()) for record, _ in out]
    events = [untimed(event._asdict()) for _, event in out if event is not None]
    return model, records, events


def untimed(values: dict[str, int]) -> dict[str, int]:
    """A record without its measured fields."""
    return {name: int(value) for name, value in values.items() if name not in ("cycle", "stamp")}


def deciding_stamps(words: list[dict[str, int] | None], items: list[Item]) -> dict[int, int]:
    """Sequence number to the cycle of the word that holds the message's deciding byte; words stand a cycle each."""
    by_seq, out = {item.seq: item for item in items}, {}
    for now, values in enumerate(words):
        if values is None or not values.get("start"):
            continue
        data = by_seq[values["seq"]].data
        rule = RULES.get(data[0])
        offset = rule.deciding_offset if rule is not None and rule.deciding else len(data) - 1
        behind = (values["start_lane"] + offset) // WORD_BYTES
        for at in range(now, len(words)):
            if words[at] is not None:
                if not behind:
                    out[values["seq"]] = at
                    break
                behind -= 1
    return out

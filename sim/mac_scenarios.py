"""Traffic for the stage `mac`: symbols of every kind of carrier, and what symbols and words hold."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tickgate.sw.model import mac as model
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.mac import Verdict

_SOURCE = bytes.fromhex("020000000001")
#: Frames of addresses and tags that a MAC passes as they are.
NAMED = {
    "unicast": bytes.fromhex("020000000002") + _SOURCE + b"\x08\x00" + bytes(range(50)),
    "multicast": bytes.fromhex("01005e360c6f") + _SOURCE + b"\x08\x00" + bytes(range(46)),
    "broadcast": b"\xff" * 6 + _SOURCE + b"\x08\x06" + bytes(range(46)),
    "vlan": bytes.fromhex("01005e360c6f") + _SOURCE + b"\x81\x00\x20\x07\x08\x00" + bytes(range(60)),
}


def carrier(rng: random.Random, kind: str, length: int) -> list[int]:
    """Symbols of one carrier of a kind, its frame `length` bytes long."""
    frame = rng.randbytes(length)
    if kind == "bad_fcs":
        return model.carrier(model.on_wire(frame, bad_fcs=rng.choice((1 << rng.randrange(32), 0xFFFFFFFF))))
    if kind == "rx_error":
        data = model.on_wire(frame)
        return model.carrier(data, {rng.randrange(len(data)) for _ in range(rng.randint(1, 3))})
    if kind == "preamble":
        return model.carrier(model.on_wire(frame, preamble=rng.choice((0, 1, 3, 6, 8, 15))))
    if kind == "spoilt":  # the first bytes of the preamble are lost in noise, none of which is an SFD
        noise = bytes(rng.choice((0x00, 0x15, 0x5D, 0xFF)) for _ in range(rng.randint(1, 3)))
        return model.carrier(noise + model.on_wire(frame, preamble=rng.randint(0, 6)))
    if kind == "no_sfd":
        return model.carrier(b"\x55" * rng.randint(1, 20))
    return model.carrier(model.on_wire(frame))


def traffic(rng: random.Random, count: int, size_max: int = mac.FRAME_SIZE_MAX) -> list[int]:
    """Carriers of every kind and of lengths around every limit, mostly good ones, most at the smallest gap.

    Parameters
    ----------
    count: of them, beside ten that are always there. size_max: longest frame of the port.
    """
    symbols: list[int] = [0] * 3
    lengths = [0, 1, 4, 7, 8, 9, 15, 16, 17, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68]
    long = [size_max - 5, size_max - 4, size_max - 3, size_max - 1, size_max, size_max + 1, size_max + 12]
    kinds = ["good"] * 4 + ["bad_fcs", "rx_error", "preamble", "spoilt", "no_sfd"]
    plan = [(kinds[n % len(kinds)], rng.choice(lengths)) for n in range(count)]
    # Those that tell one limit from the next are always among them.
    plan += [("good", net.FRAME_SIZE_MIN), ("good", net.FRAME_SIZE_MIN - 1), ("preamble", 64), ("bad_fcs", 64)]
    plan += [("rx_error", 64), ("good", 64), ("good", size_max), ("good", size_max + 1)]
    plan += [("good", rng.choice(long)), (rng.choice(("bad_fcs", "rx_error")), rng.choice(long))]
    rng.shuffle(plan)
    for kind, length in plan:
        symbols += carrier(rng, kind, length)
        gap = rng.choice((1, 2, 8, 40)) if rng.random() < 0.3 else net.INTERFRAME_GAP_BYTES
        # Without a carrier bytes and RX_ER mean nothing (a false carrier is told that way).
        symbols += [rng.choice((0, 0, 0x0E | model.ERROR, mac.SFD_BYTE)) for _ in range(gap)]
    return [*symbols, *[0] * net.INTERFRAME_GAP_BYTES]


def frames_of(words: Iterable[dict[str, int]]) -> list[tuple[bytes, bool]]:
    """Frames and whether each ended with an error, from FRAME_WORD values.

    Raises
    ------
    AssertionError: a word that may not be: not full and not the last one, or with bytes behind its count.
    """
    found, current = [], b""
    for word in words:
        data = word["data"].to_bytes(8, "little")
        assert word["count"] == 8 or word["last"], f"a word of {word['count']} bytes is not the last one"
        assert 1 <= word["count"] <= 8 and not any(data[word["count"] :]), f"bytes behind the count: {word}"
        current += data[: word["count"]]
        if word["last"]:
            found.append((current, bool(word["error"])))
            current = b""
    assert not current, "the last frame has no end"
    return found


def carriers(symbols: Iterable[int]) -> list[list[int]]:
    """The symbols of each carrier that has ended."""
    found: list[list[int]] = []
    current: list[int] = []
    for symbol in symbols:
        if symbol & model.VALID:
            current.append(symbol)
        elif current:
            found.append(current)
            current = []
    return found


def gaps(symbols: Iterable[int]) -> list[int]:
    """Byte times without a carrier between two carriers."""
    found: list[int] = []
    idle: int | None = None
    for symbol in symbols:
        if symbol & model.VALID:
            if idle:
                found.append(idle)
            idle = 0
        elif idle is not None:
            idle += 1
    return found


def without_gaps(symbols: Iterable[int]) -> list[int]:
    """The symbols of all carriers."""
    return [symbol for one in carriers(symbols) for symbol in one]


def received(port: model.Mac, symbols: Iterable[int]) -> list[tuple[bytes, bool]]:
    """What the model says leaves as words: frames and whether each is bad."""
    return [(r.frame, r.verdict is not Verdict.GOOD) for r in port.receive(symbols) if r.frame]

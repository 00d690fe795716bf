"""Frames on the control role for tests of the stage `control`: good requests, repeats, and all that is neither."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tickgate.sw.model.control import Control
from tickgate.sw.spec import control, net
from tickgate.sw.spec.control import Operation

HOSTS = (control.HOST_MAC, net.mac("02:00:00:00:00:13"), net.mac("03:00:00:00:00:12"))


@dataclass(frozen=True)
class Stimulus:
    """One frame at the control role.

    Members
    -------
    frame: its bytes.
    error: of its last word.
    armed: level of `armed` from before the frame on.
    free: level of `inject_free` likewise.
    """

    frame: bytes
    error: bool = False
    armed: bool = False
    free: bool = True


def register_value(address: int, written: dict[int, int]) -> int:
    """What a register of the test's bus reads: what was written last, or a number made of its address."""
    return written.get(address, (address * 0x9E3779B1 ^ 0x5A5A5A5A) & 0xFFFFFFFF)


def stimuli(rng: random.Random, count: int) -> Iterator[Stimulus]:
    """Any mix of requests; a session is open from the first one on, and the scenario follows it."""
    free = True
    device = Control(lambda address: 0, inject=lambda message: free)
    host, nonce = HOSTS[0], rng.getrandbits(64)
    last = control.encode(Operation.HELLO, nonce, rng.getrandbits(32), source_mac=host)
    armed = False
    found = Stimulus(last)
    for number in range(count):
        if number:
            if rng.random() < 0.1:
                armed = not armed
            assert device.owner is not None
            host, nonce = device.owner
            frame, error = _frame(rng, host, nonce, device.sequence, last)
            free = rng.random() < 0.7
            found = Stimulus(frame, error, armed, free)
        yield found
        requests = device.counters["control_requests"]
        device.frame(found.frame, found.armed, found.error)
        if device.counters["control_requests"] > requests:
            last = found.frame


def _frame(rng: random.Random, host: int, nonce: int, sequence: int, last: bytes) -> tuple[bytes, bool]:
    """One frame of a session and whether it has an error."""
    kind = rng.choices(
        ("good", "repeat", "hello", "session", "stale", "refused", "cut", "error", "other", "short", "random"),
        (40, 12, 6, 8, 5, 12, 4, 3, 4, 4, 3),
    )[0]
    following = sequence + 1 & 0xFFFFFFFF
    request = bytearray(_request(rng, nonce, following, host))
    if kind == "repeat":
        return last if rng.random() < 0.5 else _request(rng, nonce, sequence, host), False
    if kind == "hello":
        source, number = rng.choice((host, *HOSTS)), rng.choice((nonce, rng.getrandbits(64)))
        entries = _entries(rng, rng.choice((0, 0, 0, 1)))
        return control.encode(Operation.HELLO, number, rng.getrandbits(32), entries, source_mac=source), False
    if kind == "session":
        other = rng.choice((nonce ^ 1 << rng.randrange(64), nonce))
        source = rng.choice([h for h in HOSTS if h != host] + [host ^ 1 << rng.randrange(48)])
        return _request(rng, other, following, host if other != nonce else source), False
    if kind == "stale":
        return _request(rng, nonce, sequence + rng.choice((2, -1, 1 << 31)) & 0xFFFFFFFF, host), False
    if kind == "refused":
        what = rng.randrange(3)
        if what == 0:
            request[15] = rng.choice((0, 5, 9, 0x7F, 0x81, 0x82, 0x84, 0xFF))
        elif what == 1:
            request[28] = rng.choice((13, 14, 16, 75, 76, 200, 255, request[28] + 1, 12))
        elif request[28] and request[15] != Operation.INJECT:
            at = 32 + 8 * rng.randrange(request[28])
            wrong = rng.choice((1, 2, 1 << 12, 1 << 31, 1 << rng.randrange(32)))
            request[at : at + 4] = (int.from_bytes(request[at : at + 4], "big") ^ wrong).to_bytes(4, "big")
    elif kind == "cut":
        del request[rng.choice((1, 7, 8, 12, 13, 14, 15, 16, 20, 24, 31)) :]
    elif kind == "short":  # cut or prolonged behind the header: entries may be missing, or padding follows
        del request[rng.randrange(32, len(request) + 1) :]
        request += bytes(rng.choice((0, 0, 4, 28, 60, 97, 200)))
    elif kind == "other":
        request[rng.choice((12, 13, 14))] ^= 1 << rng.randrange(8)
    elif kind == "random":
        return rng.randbytes(rng.randrange(1, 200)), rng.random() < 0.2
    return bytes(request), kind == "error"


def _entries(rng: random.Random, count: int) -> control.Entries:
    return tuple((rng.randrange(0, 1 << 12, 4), rng.getrandbits(32)) for _ in range(count))


def _request(rng: random.Random, nonce: int, sequence: int, host: int) -> bytes:
    if rng.random() < 0.25:
        size = rng.choice(
            (0, 1, 3, 7, 8, 9, 64, 73, control.INJECT_SIZE_MAX, rng.randrange(control.INJECT_SIZE_MAX + 1))
        )
        return control.encode(Operation.INJECT, nonce, sequence, source_mac=host, message=rng.randbytes(size))
    count = rng.choice((0, 1, 1, 2, 3, rng.randrange(13), control.ENTRIES_MAX))
    operation = rng.choice((Operation.READ, Operation.WRITE))
    return control.encode(operation, nonce, sequence, _entries(rng, count), source_mac=host)

"""Model of stage `mac`: bytes on the wire to frames with a verdict, and frames to bytes on the wire.

A byte time of the wire is a *symbol*: the byte in bits 7:0, `VALID` where there is a carrier, `ERROR` where the PHY
says (or is told) that the byte is wrong. Time is counted in symbols; the model knows no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tickgate.sw.spec import mac, net
from tickgate.sw.spec.mac import Verdict

VALID = 1 << 8
ERROR = 1 << 9

COUNTERS = tuple(name for name, _ in mac.COUNTERS)


def _table() -> tuple[int, ...]:
    """What each value of the register's low byte adds while it is shifted out."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (mac.FCS_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()


def register(data: bytes) -> int:
    """The CRC register behind `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[crc & 0xFF ^ byte]
    return crc


def fcs(frame: bytes) -> bytes:
    """The four bytes of the frame check sequence in the order of the wire."""
    return (register(frame) ^ 0xFFFFFFFF).to_bytes(4, "little")


def carrier(data: bytes, errors: Iterable[int] = ()) -> list[int]:
    """Symbols of bytes with a carrier; `errors` are the places of those with RX_ER."""
    wrong = set(errors)
    return [byte | VALID | (ERROR if at in wrong else 0) for at, byte in enumerate(data)]


def on_wire(frame: bytes, *, preamble: int = net.PREAMBLE_BYTES - 1, bad_fcs: int = 0) -> bytes:
    """A frame with preamble, SFD and FCS, not padded; `bad_fcs` is a mask of FCS bits that are turned."""
    check = int.from_bytes(fcs(frame), "little") ^ bad_fcs
    return bytes([mac.PREAMBLE_BYTE] * preamble + [mac.SFD_BYTE]) + frame + check.to_bytes(4, "little")


class Received(NamedTuple):
    """A frame taken from the wire: the bytes that leave as words (none where `frame` is empty) and what it is."""

    frame: bytes
    verdict: Verdict


class Mac:
    """One port.

    Parameters
    ----------
    store_and_forward: bad frames are counted, and not given.
    size_max: longest frame without FCS.

    Members
    -------
    counters: by name.
    """

    def __init__(self, *, store_and_forward: bool = False, size_max: int = mac.FRAME_SIZE_MAX):
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._stores, self._size_max = store_and_forward, size_max

    def receive(self, symbols: Iterable[int]) -> Iterator[Received]:
        """Frames of whole carriers; a carrier that has not ended gives nothing."""
        current: list[int] = []
        for symbol in symbols:
            if symbol & VALID:
                current.append(symbol)
            elif current:
                found = self._carrier(current)
                if found is not None and not (self._stores and found.verdict):
                    yield found
                current = []

    def _carrier(self, symbols: list[int]) -> Received | None:
        data = bytes(symbol & 0xFF for symbol in symbols)
        start = data.find(mac.SFD_BYTE) + 1
        if not start:
            self.counters["mac_rx_no_sfd"] += 1
            return None
        # The byte that shows that the frame is too long is the last one that is looked at.
        whole = data[start : start + self._size_max + 1 + net.FCS_BYTES]
        oversize = len(whole) > self._size_max + net.FCS_BYTES
        frame = whole[: -net.FCS_BYTES][: self._size_max]
        if any(symbol & ERROR for symbol in symbols[: start + len(whole)]):
            verdict = Verdict.ERROR
        elif oversize:
            verdict = Verdict.OVERSIZE
        elif len(frame) < net.FRAME_SIZE_MIN:
            verdict = Verdict.RUNT
        elif register(whole) != mac.FCS_RESIDUE:
            verdict = Verdict.FCS
        else:
            verdict = Verdict.GOOD
        self.counters[f"mac_rx_{verdict.name.lower()}"] += 1
        return Received(frame, verdict)

    def send(self, frame: bytes, error: bool = False) -> list[int]:
        """Symbols of a frame with padding, FCS and the gap behind it; the FCS is inverted where its last word has
        `error`."""
        self.counters["mac_tx_poisoned" if error else "mac_tx_good"] += 1
        padded = frame.ljust(net.FRAME_SIZE_MIN, b"\0")
        return carrier(on_wire(padded, bad_fcs=0xFFFFFFFF if error else 0)) + [0] * net.INTERFRAME_GAP_BYTES

    def send_cut(self, frame: bytes) -> list[int]:
        """Symbols of a frame of which only `frame` had come when the next word was due: no padding, TX_ER on the
        inverted FCS."""
        self.counters["mac_tx_underrun"] += 1
        sent = on_wire(frame, bad_fcs=0xFFFFFFFF)
        return carrier(sent, range(len(sent) - net.FCS_BYTES, len(sent))) + [0] * net.INTERFRAME_GAP_BYTES

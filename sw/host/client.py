"""The host's end of the control protocol: requests with answers, asked again where one is lost."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tickgate.sw.host.errors import DeviceError
from tickgate.sw.host.transport import Transport
from tickgate.sw.spec import control, registers
from tickgate.sw.spec.control import ControlFrame, Operation, Status

#: Other frames (telemetry) that are kept while an answer is waited for.
OTHERS_KEPT = 4096
#: Between two tries to hand over a message while the one before it waits: it leaves in microseconds or not at all.
BUSY_PAUSE_S = 0.001


@dataclass
class ClientStatistics:
    """What a client did.

    Members
    -------
    requests: asked, without repeats.
    repeats: asked again for want of an answer.
    busy: messages refused because the one before still waited.
    strays: control frames that were no answer to what was asked.
    others_lost: other frames that were not taken in time.
    """

    requests: int = 0
    repeats: int = 0
    busy: int = 0
    strays: int = 0
    others_lost: int = 0


class Client:
    """A session with one device. Safe to use from several threads: requests wait for each other.

    Parameters
    ----------
    transport: stays the caller's to close.
    timeout_s: how long to wait for an answer before asking again.
    tries: how often to ask.
    nonce: number of the session; by default a random one.

    Members
    -------
    others: frames that are not of this protocol, oldest first; `take_others` empties it.
    statistics: what was done so far.
    """

    def __init__(self, transport: Transport, *, timeout_s: float = 0.1, tries: int = 5, nonce: int | None = None):
        self._transport, self._timeout_s, self._tries = transport, timeout_s, tries
        self.nonce = secrets.randbits(64) if nonce is None else nonce
        self._sequence = secrets.randbits(32)
        self._lock = threading.RLock()
        self.others: deque[bytes] = deque()
        self.statistics = ClientStatistics()

    def hello(self) -> dict[int, int]:
        """Open a session: the identity of the device by address.

        Raises
        ------
        DeviceError: no answer.
        """
        with self._lock:
            self.nonce = self.nonce + 1 & (1 << 64) - 1
            return dict(self._request(Operation.HELLO, ()).entries)

    def read(self, addresses: Sequence[int]) -> list[int]:
        """The values of register words, in as many requests as it takes.

        Raises
        ------
        DeviceError: no answer, or the device refuses.
        """
        found: list[int] = []
        with self._lock:
            for at in range(0, len(addresses), control.ENTRIES_MAX):
                part = tuple((address, 0) for address in addresses[at : at + control.ENTRIES_MAX])
                found += [value for _, value in self._request(Operation.READ, part).entries]
        return found

    def write(self, entries: Iterable[tuple[int, int]]) -> None:
        """Write register words in order, `control.ENTRIES_MAX` of them in consecutive cycles.

        Raises
        ------
        DeviceError: no answer, or the device refuses; of the part that was refused nothing was written.
        """
        every = tuple(entries)
        with self._lock:
            for at in range(0, len(every), control.ENTRIES_MAX):
                self._request(Operation.WRITE, every[at : at + control.ENTRIES_MAX])

    def inject(self, message: bytes, *, patience_s: float = 0.1) -> None:
        """Hand SoupBinTCP packets to the order session, in one segment; they enter its stream once or not at all.

        After an error for want of an answer it is not known which.

        Parameters
        ----------
        patience_s: for how long to try while the message before this one still waits.

        Raises
        ------
        DeviceError: nothing to send or too much, no answer, the device refuses, or the one before still waits.
        """
        if not 1 <= len(message) <= control.INJECT_SIZE_MAX:
            raise DeviceError(
                f"a message for the order session has 1 to {control.INJECT_SIZE_MAX} bytes, not {len(message)}"
            )
        deadline = time.monotonic() + patience_s
        while True:
            with self._lock:  # what others ask goes in between
                answer = self._ask(Operation.INJECT, (), message)
            if answer.status != Status.BUSY:
                break
            self.statistics.busy += 1
            if time.monotonic() >= deadline:
                raise DeviceError(
                    f"the order session did not take a message within {patience_s:g} s: the one before still waits\n"
                    "the session is closed, or the peer's window is full"
                )
            time.sleep(BUSY_PAUSE_S)
        _check(answer, ())

    def poll(self, timeout_s: float) -> None:
        """Take in what the device sends by itself."""
        with self._lock:
            for frame in self._transport.receive(timeout_s):
                self._other(frame)

    def take_others(self) -> list[bytes]:
        """The other frames so far; they are forgotten here."""
        with self._lock:
            found = list(self.others)
            self.others.clear()
        return found

    def _request(self, operation: Operation, entries: control.Entries) -> ControlFrame:
        answer = self._ask(operation, entries)
        _check(answer, entries)
        return answer

    def _ask(self, operation: Operation, entries: control.Entries, message: bytes = b"") -> ControlFrame:
        """The answer to a request, whatever its status."""
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        frame = control.encode(
            operation, self.nonce, self._sequence, entries, source_mac=self._transport.mac, message=message
        )
        self.statistics.requests += 1
        for attempt in range(self._tries):
            if attempt:
                self.statistics.repeats += 1
            self._transport.send(frame)
            answer = self._wait(operation)
            if answer is not None:
                break
        else:
            what = "says hello" if operation == Operation.HELLO else "answers"
            raise DeviceError(
                f"no device {what} on {self._transport.name or 'this transport'}: asked {self._tries} times, "
                f"{self._timeout_s:g} s apart\n"
                "it may have been reset, or another host may hold the session while the device is armed"
            )
        return answer

    def _wait(self, operation: Operation) -> ControlFrame | None:
        deadline = time.monotonic() + self._timeout_s
        while (left := deadline - time.monotonic()) > 0:
            for number, frame in enumerate(frames := self._transport.receive(left)):
                answer = self._answer(frame, operation)
                if answer is not None:
                    for rest in frames[number + 1 :]:
                        self._other(rest)
                    return answer
        return None

    def _answer(self, frame: bytes, operation: Operation) -> ControlFrame | None:
        if not control.is_control(frame):
            self._other(frame)
            return None
        try:
            found = control.decode(frame)
        except ValueError:
            self.statistics.strays += 1
            return None
        mine = (found.nonce, found.sequence, found.operation) == (self.nonce, self._sequence, operation)
        if mine and found.is_answer:
            return found
        self.statistics.strays += 1
        return None

    def _other(self, frame: bytes) -> None:
        if control.is_control(frame):
            self.statistics.strays += 1
        elif len(self.others) < OTHERS_KEPT:
            self.others.append(frame)
        else:
            self.statistics.others_lost += 1


def _check(answer: ControlFrame, entries: control.Entries) -> None:
    if answer.status != Status.OK:
        raise DeviceError(_refusal(answer, entries))


def _refusal(answer: ControlFrame, entries: control.Entries) -> str:
    if answer.status == Status.ADDRESS and answer.detail < len(entries):
        return f"the device refuses the address {entries[answer.detail][0]:#x}"
    names = {int(status): status.name.lower() for status in Status}
    return f"the device refuses the request: {names.get(answer.status, f'status {answer.status}')}"


def register(name: str) -> registers.Register:
    """The register of that name.

    Raises
    ------
    DeviceError: the map has none.
    """
    import difflib

    found = registers.BY_NAME.get(name)
    if found is None:
        close = difflib.get_close_matches(name, list(registers.BY_NAME), 1, 0.5)
        raise DeviceError(f"no register {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return found

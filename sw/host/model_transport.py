"""A transport to the reference model of a device's control side: no data path, and a wire that may lose frames."""

from __future__ import annotations

import random

from tickgate.sw.host.transport import Transport
from tickgate.sw.model.control import Control
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named


class ModelTransport(Transport):
    """Requests are served at once, by `sw/model`.

    Parameters
    ----------
    registers: of the device.
    loss: share of frames that are lost, each way.
    twice: share of requests that come twice.
    cycles: device cycles that go by with each frame and each empty receive.

    Members
    -------
    messages: handed to the order session, which the model does not have.
    waits: how many messages more are refused because one still waits.
    """

    def __init__(
        self, registers: Registers, *, loss: float = 0.0, twice: float = 0.0, cycles: int = 1000, seed: int = 1
    ):
        self.registers = registers
        self.control = Control(registers.read, registers.write, self._inject)
        self.messages: list[bytes] = []
        self.waits = 0
        self.waiting: list[bytes] = []
        self._loss, self._twice, self._cycles, self._rng = loss, twice, cycles, random.Random(seed)

    def send(self, frame: bytes) -> None:
        """Serve one frame, or lose it, or serve it twice."""
        for _ in range(1 + (self._rng.random() < self._twice)):
            self.registers.cycle += self._cycles
            if self._rng.random() < self._loss:
                continue
            answer = self.control.frame(frame, self.registers.armed).frame
            if answer and self._rng.random() >= self._loss:
                self.waiting.append(answer.ljust(60, b"\0"))

    def _inject(self, message: bytes) -> bool:
        if self.waits:
            self.waits -= 1
            return False
        self.messages.append(message)
        return True

    def receive(self, timeout_s: float) -> list[bytes]:
        """What waits; time goes by in cycles, not in seconds."""
        self.registers.cycle += self._cycles
        found, self.waiting = self.waiting, []
        return found


def open_model(argument: str) -> ModelTransport:
    """A fresh model of a size of the ladder. Raises UserError for any other."""
    return ModelTransport(Registers(sizes_named(argument or DEFAULT_SIZE)))

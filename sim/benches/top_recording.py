"""What the bench of the whole device drives and keeps, and how that is held against the reference model."""

from __future__ import annotations

import random
from typing import Any

from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib
from tickgate.sw.spec.events import FRAME_WORD, TRACES
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, counter_names
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=4, orders=1024, levels=256, stash=16)
#: A committed feed row reaches the book, and its sweep begins, well before this.
SWEEP_BEGINS_CYCLES = 64
#: From a book record to the cycle in which risk takes its update in (the trigger's pass-through).
UPDATE_LATENCY_CYCLES = 5


def session(seed: int, messages: int, per_packet: int = 3) -> tuple[Any, Any]:
    """Packed frames of a generated session, and the configuration that is derived from it."""
    from tickgate.sim.compare.inputs import FeedIdentity, frames_of
    from tickgate.sw.files.block import block_of
    from tickgate.sw.files.packer import Packer
    from tickgate.sw.generate import SessionOptions
    from tickgate.sw.generate import session as generate
    from tickgate.sw.model.derive import derive_config
    from tickgate.sw.model.survey import Selection
    from tickgate.sw.spec.config import Config

    found = [message for _, message in generate(SessionOptions(seed=seed, symbols=6, messages=messages))]
    config = derive_config(lambda: iter(found), SIZES, Selection(top=SIZES.slots)).config
    batches = Packer(per_packet=per_packet).pack_all([block_of(found)])
    return frames_of(frame for batch in batches for frame in batch), Config(
        **{**config.__dict__, "feed": FeedIdentity().row(), "actions": ()}
    )


class Recording:
    """Drives both devices and keeps what left them, in the shape of `tickgate.sim.device.Device`.

    Members
    -------
    words: (cycle, packed word) transferred on the order port of the first device.
    presented: cycles in which a first word was presented for the first time.
    killed: cycles in which the kill switch was up.
    reset_cycle: in which the device's own count was 0.
    """

    sizes = SIZES

    def __init__(self, dut: Any, rng: random.Random, pressure: cocotb_lib.Pattern):
        self.dut = dut
        self.cycle = 0
        self.words: list[tuple[int, int]] = []
        self.presented: list[int] = []
        self.killed: list[int] = []
        self.telemetry: list[int] = []
        self.registers: dict[str, int] = {}
        self._records: dict[str, list[int]] = {stage: [] for stage in TRACES}
        self.reset_cycle = 0
        self._stalls = pressure(rng)
        self._first = True
        self._shown = False
        self._kill = True

    async def tick(self) -> None:
        """One clock cycle; the inputs are as the caller left them."""
        dut = self.dut
        ready = not next(self._stalls)
        dut.o_orders__ready.value = int(ready)
        dut.o_telemetry__ready.value = 1
        await RisingEdge(dut.clk)
        valid = int(dut.o_orders__valid.value)
        assert int(dut.o_orders_b__valid.value) == valid, f"cycle {self.cycle}: the twin without traces differs"
        if valid:
            word = int(dut.o_orders__payload.value)
            assert int(dut.o_orders_b__payload.value) == word, f"cycle {self.cycle}: the twin without traces differs"
            if self._first and not self._shown:
                self.presented.append(self.cycle)
                self._shown = True
            if ready:
                self.words.append((self.cycle, word))
                self._first = bool(FRAME_WORD.unpack(word)["last"])
                self._shown = False
        assert int(dut.inject_ready_b.value) == int(dut.i_inject__ready.value)
        if int(dut.o_telemetry__valid.value):
            self.telemetry.append(int(dut.o_telemetry__payload.value))
        for stage, records in self._records.items():
            if int(getattr(dut, f"trace_{stage}__valid").value):
                records.append(int(getattr(dut, f"trace_{stage}__payload").value))
                self.reset_cycle = self.cycle - (records[-1] & 0xFFFFFFFFFFFFFFFF)  # a record begins with its cycle
        if self._kill:
            self.killed.append(self.cycle)
        if int(dut.bus__w_en.value):
            address = int(dut.bus__addr.value)
            armed = address == BY_NAME["arm"].offset and int(dut.bus__w_data.value) == ARM_KEY
            self._kill = (self._kill and not armed) or address == BY_NAME["kill"].offset
        self.cycle += 1

    async def write(self, address: int, value: int, second: int | None = None) -> None:
        """A bus write to both devices; `second` is written to the second one instead."""
        for bus, data in (("bus", value), ("bus_b", value if second is None else second)):
            getattr(self.dut, f"{bus}__addr").value = address
            getattr(self.dut, f"{bus}__w_data").value = data
            getattr(self.dut, f"{bus}__w_en").value = 1
        await self.tick()
        self.dut.bus__w_en.value = self.dut.bus_b__w_en.value = 0

    async def read(self, name: str) -> int:
        """A register of the first device."""
        value = 0
        for word in range(BY_NAME[name].words):
            self.dut.bus__addr.value, self.dut.bus__r_en.value = BY_NAME[name].offset + 4 * word, 1
            await self.tick()
            self.dut.bus__r_en.value = 0
            for _ in range(16):
                await self.tick()
                if int(self.dut.bus__r_valid.value):
                    break
            value |= int(self.dut.bus__r_data.value) << 32 * word
        return value

    async def configure(self, config: Any) -> None:
        """Loads a configuration and waits for the tables; the second device's telemetry is asked for everything."""
        await self.write(BY_NAME["telemetry_mask"].offset, 0, second=0x3F)
        await self.write(BY_NAME["telemetry_every"].offset, 0, second=1)
        for address, value in config.writes():
            await self.write(address, value)
        for _ in range(SWEEP_BEGINS_CYCLES):
            await self.tick()
        for _ in range(20_000):
            if not await self.read("status") & 2:
                break
        await self.rest()

    async def frames_in(self, frames: Any, gap: int, bad: int | None = None) -> None:
        """Frames into line A, `gap` idle cycles behind each; the one of number `bad` ends with an error."""
        for number, (_, frame) in enumerate(frames):
            for word in cocotb_lib.frame_words(frame, number == bad):
                self.dut.i_a__payload.value = FRAME_WORD.pack(word)
                self.dut.i_a__valid.value = 1
                await self.tick()
            self.dut.i_a__valid.value = 0
            for _ in range(gap):
                await self.tick()

    async def rest(self, quiet: int = 80) -> None:
        """Until nothing leaves for `quiet` cycles."""
        seen, since = -1, 0
        while since < quiet:
            await self.tick()
            size = len(self.words) + sum(map(len, self._records.values()))
            since = since + 1 if size == seen else 0
            seen = size

    # What the comparison asks of a device.

    def traces(self) -> dict[str, Any]:
        """Records since the last `clear`."""
        import numpy as np

        from tickgate.sw.files.dtypes import record_dtype

        return {
            stage: np.frombuffer(
                b"".join(word.to_bytes(TRACES[stage].size_bytes, "little") for word in words),
                dtype=record_dtype(TRACES[stage]),
            )
            for stage, words in self._records.items()
        }

    def frames(self) -> list[tuple[int, bytes]]:
        """(cycle of the first word, bytes) of each order frame since the last `clear`."""
        found, current, began = [], b"", 0
        for cycle, packed in self.words:
            word = FRAME_WORD.unpack(packed)
            began = began if current else cycle
            current += word["data"].to_bytes(8, "little")[: word["count"]]
            if word["last"]:
                found.append((began, current))
                current = b""
        return found

    def order_ends(self) -> list[tuple[int, bool]]:
        """As `tickgate.sim.device.Device.order_ends`."""
        words = [(cycle, FRAME_WORD.unpack(packed)) for cycle, packed in self.words]
        return [
            (words[at - 1][0] + 1 - self.reset_cycle, bool(word["error"]))
            for at, (_, word) in enumerate(words)
            if word["last"]
        ]

    def counters(self) -> dict[str, int]:
        """Counters as read by `read_counters`."""
        return self.registers

    async def read_counters(self) -> None:
        """Reads every counter over the bus."""
        self.registers = {name: await self.read(name) for name in counter_names()}

    def forget(self) -> None:
        """Drops what was kept so far."""
        self.words.clear()
        for records in self._records.values():
            records.clear()

    def clear(self) -> None:
        """The comparison drops nothing: one recording is one batch."""

    drain = clear

    def load(self, config: Any) -> None:
        """Done before."""

    def run(self, frames: Any, **how: Any) -> None:
        """Done before."""


def compare(
    recorded: Recording,
    config: Any,
    frames: Any,
    injected: list[bytes],
    loaded: dict[str, Any],
    bad: int | None = None,
) -> Any:
    """Holds a recording to the model; gives the result of the comparison. The frame of number `bad` had an error.

    Raises
    ------
    AssertionError: the first difference.
    """
    import numpy as np

    from tickgate.sim.compare.engine import Comparison
    from tickgate.sim.compare.result import CompareResult
    from tickgate.sw.model.pipeline import ReferencePipeline

    class Loaded(Recording):
        def __init__(self) -> None:
            pass

        def traces(self) -> dict[str, Any]:
            return loaded

    result = CompareResult("", {})
    model = ReferencePipeline(config, SIZES, update_latency_cycles=UPDATE_LATENCY_CYCLES)
    comparison = Comparison(Loaded(), model, result, dump_every=0)  # type: ignore[arg-type]
    comparison.begin()
    comparison.device = recorded  # type: ignore[assignment]
    comparison._injected += injected
    if not result.mismatches:
        comparison.run(frames, None if bad is None else (np.arange(len(frames)) == bad).astype(np.uint8))
    if not result.mismatches:
        comparison._counters()
    assert not result.mismatches, f"{result.mismatches} differences, first: {result.first_mismatch}"
    return result


async def begin(dut: Any, rng: random.Random, pressure: cocotb_lib.Pattern, config: Any) -> Recording:
    """Devices after reset with a configuration loaded."""
    await cocotb_lib.start(dut)
    recorded = Recording(dut, rng, pressure)
    await recorded.configure(config)
    return recorded

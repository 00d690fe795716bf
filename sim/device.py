"""The Verilated device in this process: frames in, order frames and trace records out, registers read and written.

Times are core cycles of the simulation; no wall-clock figure of it is a latency. A `Device` is not thread-safe.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sim import build
from tickgate.sw.files.dtypes import record_dtype
from tickgate.sw.files.packer import Frames
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.events import TRACES
from tickgate.sw.spec.records import Record
from tickgate.sw.spec.registers import BY_NAME, counter_names, row_writes
from tickgate.sw.spec.rows import PEER_ROW
from tickgate.sw.spec.sizes import Sizes

#: Idle cycles between frames at line rate: 8 preamble + 4 FCS + 12 gap bytes are three words.
MINIMUM_GAP_CYCLES = 3

#: The device is at rest when nothing has left it for so long.
QUIET_CYCLES = 64

ORDERS_PORT, TELEMETRY_PORT, CONTROL_PORT = 0, 1, 2

_OUT_WORD = np.dtype([("cycle", "<u8"), ("data", "<u8"), ("count", "<u4"), ("last", "<u4"), ("error", "<u4"),
                      ("port", "<u4")])  # fmt: skip


class DeviceError(RuntimeError):
    """The simulated device did not do what any device must: answer its bus, come to rest."""


def declare(library: ctypes.CDLL, functions: Iterable[tuple[str, Any, list[Any]]]) -> None:
    """Tells ctypes the result and the arguments of functions of `harness.cpp`."""
    for name, result, arguments in functions:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def copied(address: int | None, size_bytes: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A copy of records that the compiled device keeps until the next `clear`."""
    return np.frombuffer(ctypes.string_at(address, size_bytes) if address and size_bytes else b"", dtype=dtype)


def _library(path: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(path))
    handle, u64, i64, u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint32
    pointer = ctypes.c_void_p
    declare(lib, (
        ("tg_new", handle, []),
        ("tg_free", None, [handle]),
        ("tg_cycle", u64, [handle]),
        ("tg_reset_cycle", u64, [handle]),
        ("tg_stall", None, [handle, u64, u32]),
        ("tg_reset", None, [handle, ctypes.c_int]),
        ("tg_step", None, [handle, u64]),
        ("tg_drain", i64, [handle, u64, u64]),
        ("tg_write", None, [handle, u32, u32]),
        ("tg_read", i64, [handle, u32]),
        ("tg_run", None, [handle, pointer, pointer, pointer, pointer, i64, u32, ctypes.c_int]),
        ("tg_inject", i64, [handle, ctypes.c_char_p, i64, u64]),
        ("tg_control", None, [handle, ctypes.c_char_p, i64]),
        ("tg_trace", pointer, [handle, ctypes.c_int, ctypes.POINTER(u64)]),
        ("tg_out", pointer, [handle, ctypes.POINTER(u64)]),
        ("tg_clear", None, [handle]),
        ("tg_memory", i64, [handle, ctypes.c_int, pointer]),
        ("tg_stopped", ctypes.c_int, [handle]),
        ("tg_waves", ctypes.c_int, [handle, ctypes.c_char_p]),
    ))  # fmt: skip
    return lib


class FrameAssembler:
    """Frames from words that leave the device, several ports in turns; a frame may go on in the next words."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[int, bytes]] = {}

    def frames(self, words: npt.NDArray[Any]) -> Iterator[tuple[int, int, bytes, bool]]:
        """(port, cycle of the first word, bytes, error) of each frame that ends in these words of `Device.words`."""
        parts = self._parts
        for cycle, data, count, last, error, port in words.tolist():
            began, part = parts.pop(port, (cycle, b""))
            part += data.to_bytes(8, "little")[:count]
            if last:
                yield port, began, part, bool(error)
            else:
                parts[port] = began, part


class Device:
    """One simulated device.

    Parameters
    ----------
    sizes: its sizes; compiled once and cached.
    waves: built so that `waves` can write a VCD (slower).
    faults: planted faults of the top level, for the tests of the checkers.

    Raises
    ------
    UserError: a tool is missing. RuntimeError: a tool failed.
    """

    #: Whether `memories` can be read.
    has_memories = True

    def __init__(self, sizes: Sizes, *, waves: bool = False, faults: frozenset[str] = frozenset()):
        self.sizes = sizes
        self._lib = _library(self._compiled(waves, faults))
        self._handle: int | None = self._lib.tg_new()
        self._quiet = QUIET_CYCLES
        self._dtypes = {stage: record_dtype(record) for stage, record in TRACES.items()}

    def _compiled(self, waves: bool, faults: frozenset[str]) -> Path:
        return build.shared_object(self.sizes, waves=waves, faults=faults)

    def close(self) -> None:
        """Frees the model."""
        if self._handle is not None:
            self._lib.tg_free(self._handle)
            self._handle = None

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def via(self) -> str:
        """One line on how frames reach the device."""
        return "handed over in this process"

    @property
    def cycle(self) -> int:
        """Core cycles since the model was made."""
        return int(self._lib.tg_cycle(self._handle))

    def write(self, register: str, value: int) -> None:
        """Writes one 32-bit register by name."""
        self._lib.tg_write(self._handle, BY_NAME[register].offset, value)

    def write_address(self, address: int, value: int) -> None:
        """Writes one 32-bit register by byte offset."""
        self._lib.tg_write(self._handle, address, value)

    def read(self, register: str) -> int:
        """Reads a register by name, all its words.

        Raises
        ------
        DeviceError: the bus did not answer.
        """
        found = BY_NAME[register]
        value = 0
        for word in range(found.words):
            answer = int(self._lib.tg_read(self._handle, found.offset + 4 * word))
            if answer < 0:
                raise DeviceError(f"no answer from register {register} at {found.offset:#x}")
            value |= answer << 32 * word
        return value

    def write_row(self, row: Record, values: dict[str, int], select: int = 0) -> None:
        """Loads one configuration row."""
        for address, value in row_writes(row, values, select):
            self._lib.tg_write(self._handle, address, value)

    def load(self, config: Config) -> None:
        """Loads a configuration and waits until the tables are clear."""
        for address, value in config.writes():
            self._lib.tg_write(self._handle, address, value)
        self.wait_clear()

    def wait_clear(self) -> None:
        """Waits for the end of a sweep.

        Raises
        ------
        DeviceError: it did not end.
        """
        self.step(8)
        limit = 16 * (self.sizes.orders + self.sizes.slots * self.sizes.levels) + 1024
        for _ in range(0, limit, 64):
            if not self.read("status") >> 1 & 1:
                self.drain()
                return
            self.step(64)
        raise DeviceError(f"tables were not clear after {limit} cycles")

    def acknowledge(self, peer: dict[str, int]) -> None:
        """Loads a peer row: what the venue acknowledged."""
        self.write_row(PEER_ROW, peer)

    def reset(self, cycles: int = 2) -> None:
        """Resets the device in mid-run."""
        self._lib.tg_reset(self._handle, cycles)

    def step(self, cycles: int) -> None:
        """Lets `cycles` pass without input."""
        self._lib.tg_step(self._handle, cycles)

    def drain(self, quiet: int | None = None, limit: int = 1_000_000) -> None:
        """Steps until nothing has left the device for `quiet` cycles, by default as many as its port's stalls need.

        Raises
        ------
        DeviceError: it did not come to rest within `limit` cycles.
        """
        if self._lib.tg_drain(self._handle, quiet or self._quiet, limit) < 0:
            raise DeviceError(f"the device did not come to rest within {limit:,} cycles")

    def stall(self, share: float, seed: int = 1) -> None:
        """Holds the order port up in a random share of the cycles from now on."""
        # A word that waits is no rest: that one waits as long as this is as good as impossible.
        self._quiet = QUIET_CYCLES
        if 0 < share < 1:
            self._quiet = max(QUIET_CYCLES, math.ceil(math.log(1e-12) / math.log(share)))
        self._lib.tg_stall(self._handle, seed, round(share * 65536))

    def run(self, frames: Frames, *, errors: npt.NDArray[np.uint8] | None = None,
            gap: int = MINIMUM_GAP_CYCLES, line: int = 0) -> None:  # fmt: skip
        """Runs packed frames through feed line `line`, `gap` idle cycles behind each."""
        offsets = np.ascontiguousarray(frames.offsets, dtype=np.int64)
        lengths = np.ascontiguousarray(frames.lengths, dtype=np.int64)
        marks = None if errors is None else np.ascontiguousarray(errors, dtype=np.uint8)
        self._lib.tg_run(
            self._handle,
            frames.data.ctypes.data,
            offsets.ctypes.data,
            lengths.ctypes.data,
            None if marks is None else marks.ctypes.data,
            len(offsets),
            gap,
            line,
        )

    def inject(self, payload: bytes, limit: int = 4096) -> None:
        """Hands a host message (the SoupBinTCP bytes of one segment) to the order session.

        Raises
        ------
        DeviceError: the port did not take it within `limit` cycles.
        """
        if self._lib.tg_inject(self._handle, payload, len(payload), limit) < 0:
            raise DeviceError(f"the inject port took nothing for {limit} cycles")

    def control(self, frame: bytes) -> None:
        """Gives a frame to the control role, one word a cycle; the answer is among `frames(CONTROL_PORT)` later."""
        self._lib.tg_control(self._handle, frame, len(frame))

    def traces(self) -> dict[str, npt.NDArray[Any]]:
        """Trace records since the last `clear`, an array a stage (copies).

        Raises
        ------
        DeviceError: the design stopped the simulation.
        """
        if self._lib.tg_stopped(self._handle):
            raise DeviceError("a cell of the netlist stopped the simulation: it is in a mode that its model has not")
        size = ctypes.c_uint64()
        found = {}
        for number, (stage, dtype) in enumerate(self._dtypes.items()):
            address = self._lib.tg_trace(self._handle, number, ctypes.byref(size))
            found[stage] = copied(address, size.value, dtype)
        return found

    def words(self) -> npt.NDArray[Any]:
        """Words that left the device since the last `clear`."""
        size = ctypes.c_uint64()
        address = self._lib.tg_out(self._handle, ctypes.byref(size))
        return copied(address, size.value, _OUT_WORD)

    def frames(self, port: int = ORDERS_PORT) -> Iterator[tuple[int, bytes]]:
        """(cycle of the first word, bytes) of each frame that left `port` since the last `clear`."""
        words = self.words()
        for _, cycle, frame, _ in FrameAssembler().frames(words[words["port"] == port]):
            yield cycle, frame

    def order_ends(self) -> list[tuple[int, bool]]:
        """(cycle by the device's count in which its last word was presented, `error`) of each frame of the order
        session since the last `clear`."""
        words = self.words()
        words = words[words["port"] == ORDERS_PORT]
        last = np.flatnonzero(words["last"])
        # A word is presented when the one before it is taken.
        cycles = words["cycle"][last - 1] + np.uint64(1) - np.uint64(self._lib.tg_reset_cycle(self._handle))
        return list(zip(cycles.tolist(), words["error"][last].astype(bool).tolist(), strict=True))

    def clear(self) -> None:
        """Forgets the trace records and words so far."""
        self._lib.tg_clear(self._handle)

    def counters(self) -> dict[str, int]:
        """Every counter by name."""
        return {name: self.read(name) for name in counter_names()}

    def memories(self) -> dict[str, list[int]]:
        """Rows of the book's memories by name, as `tickgate.gateware.book.dump.decode_dump` takes them."""
        found = {}
        for number, memory in enumerate(build.dump_memories(self.sizes)):
            words = -(-memory.width // 64)
            raw = np.zeros(memory.depth * words, dtype=np.uint64)
            if self._lib.tg_memory(self._handle, number, raw.ctypes.data) != words:
                raise DeviceError(f"memory {memory.name} cannot be read")
            if words == 1:
                found[memory.name] = raw.tolist()
            else:
                packed, size = raw.tobytes(), 8 * words
                found[memory.name] = [
                    int.from_bytes(packed[at : at + size], "little") for at in range(0, len(packed), size)
                ]
        return found

    def waves(self, path: Path | None) -> None:
        """Writes a VCD to `path` from now on, or ends it with None.

        Raises
        ------
        DeviceError: built without waves, or the file cannot be written.
        """
        if self._lib.tg_waves(self._handle, None if path is None else str(path).encode()):
            raise DeviceError(f"no waveform can be written to {path}")

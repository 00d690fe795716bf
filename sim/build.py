"""Compiles a design into a shared object with the C interface of `harness.cpp`, once per design (see `sim.cache`)."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tickgate.sim import (
    cache,
    clusters,
    compiling,
    flatten,
    gates,
    gating,
    masks,
    merging,
    narrowing,
    sinking,
    verilator,
)
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import TRACES
from tickgate.sw.spec.sizes import DEFAULT_SIZE, Sizes, sizes_named

HARNESS = Path(__file__).with_name("harness.cpp")
_TRAINING = "tickgate.sim.training"  # imports this module
#: The training run takes a second or two.
_TRAINING_LIMIT_S = 120.0
_VERILATE = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "0", "--noassert", "-Wno-fatal", "-Wno-lint",
             "-Wno-UNOPTFLAT", "-fno-split", "-fno-reorder", "--output-split", "20000", "--prefix", "Vdevice",
             "--top-module", "device", "--Mdir", "obj")  # fmt: skip
_COMPILE = ("-O2", "-fPIC", "-std=c++17", "-fno-plt", "-DVL_TIME_CONTEXT", "-DVERILATOR=1", "-DVM_COVERAGE=0",
            "-DVM_SC=0", "-DVL_USER_STOP", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0", "-DVL_IGNORE_UNKNOWN_ARCH",
            "-faligned-new", "-fcf-protection=none", "-w")  # fmt: skip


def _sources() -> bytes:
    """What of this package decides how a device is built."""
    parts = (verilator, flatten, gates, masks, merging, narrowing, sinking, clusters, gating, compiling)
    paths = [Path(part.__file__ or "") for part in parts]
    paths += [Path(__file__).with_name(name) for name in ("build.py", "mac_top.py", "training.py")]
    return b"".join(path.read_bytes() for path in paths)


@dataclass(frozen=True)
class Memory:
    """A memory that full dumps read: its Verilog name below a module, and its shape."""

    module: str
    name: str
    width: int
    depth: int

    def below(self, name: str) -> Memory:
        """The same memory where the design is the submodule `name` of another one."""
        top, _, inside = self.module.partition(".")
        return replace(self, module=f"{top}.{name}.{inside}")

    @property
    def flat(self) -> Memory:
        """The same memory in the flat design."""
        inside = self.module.split(".")[1:]
        return Memory("device", flatten.SEPARATOR.join([*inside, self.name]), self.width, self.depth)


def dump_memories(sizes: Sizes) -> tuple[Memory, ...]:
    """The memories and registers of the book that `tickgate.gateware.book.dump.decode_dump` takes."""
    from tickgate.gateware.book.dump import dump_signals

    return tuple(Memory(*row) for row in dump_signals(sizes))


def _public(memories: tuple[Memory, ...]) -> str:
    lines = [f'public_flat_rd -module "{m.module}" -var "{m.name}"' for m in memories]
    return "\n".join(["`verilator_config", *lines, ""])


def _mangled(name: str) -> str:
    text = name.replace("\\", "")
    text = text.replace("__", "___05F")
    return re.sub(r"[^A-Za-z0-9_]", lambda m: f"__{ord(m.group()):03X}", text)


def _find_member(root_header: str, memory: Memory) -> str:
    names = re.findall(r"[^\w](\w+)[;{]", root_header)
    want = _mangled(memory.name)
    found = [n for n in names if not n.startswith("__V") and n.endswith(f"__DOT__{want}")]
    inside = [n for n in found if _mangled(memory.module.rsplit(".", 1)[-1]) in n] or found
    if len(inside) != 1:
        raise RuntimeError(f"memory {memory.module}/{memory.name} is {len(inside)} members of the model, not one")
    return inside[0]


_NBA = re.compile(r"^void Vdevice___024root___eval_nba\(.*?^}$", re.MULTILINE | re.DOTALL)
_ONLY_CLOCK = "if ((1ULL & vlSelfRef.__VnbaTriggered[0U])) {"


def _rising(sources: str) -> str:
    """C++ that evaluates a model, `top`, of which nothing but the clock that rose can start anything.

    Where Verilator wrote it in the usual way, what it does for a rising clock is called without asking what changed.
    """
    root = "(top)->rootp"
    found = _NBA.search(sources)
    usual = found is not None and found.group().count("if (") == 1 and _ONLY_CLOCK in found.group()
    if not usual or "___eval_act(" in sources or "___ico_" in sources:
        return f"Vdevice___024root___eval({root})"
    triggered = f"{root}->__VnbaTriggered[0U]"
    return f"({triggered} = 1ULL, Vdevice___024root___eval_nba({root}), {triggered} = 0ULL)"


def _ports_header(root_header: str, rising: str, memories: tuple[Memory, ...], waves: bool, gmii: bool) -> str:
    sample = " ".join(
        f"if (top->trace_{stage}___05Fvalid) trace({number}, top->trace_{stage}___05Fpayload, {record.size_bytes});"
        for number, (stage, record) in enumerate(TRACES.items())
    )
    cases = []
    for number, memory in enumerate(memories):
        member = f"top->rootp->{_find_member(root_header, memory)}"
        row_bytes = 1 if memory.width <= 8 else 2 if memory.width <= 16 else 4 if memory.width <= 32 else 8
        if memory.width > 64:
            row_bytes = 4 * -(-memory.width // 32)
        words = -(-memory.width // 64)
        body = (
            f"for (size_t i = 0; i < {memory.depth}; i++) {{ "
            f"for (int w = 0; w < {words}; w++) into[i * {words} + w] = 0; "
            f"std::memcpy(into + i * {words}, reinterpret_cast<const uint8_t*>(&{member}) + i * {row_bytes}, "
            f"{row_bytes}); }} return {words};"
        )
        cases.append(f"case {number}: {{ {body} }}")
    previous = re.search(r"\b(__Vtrigprevexpr___TOP__clk__\d+)\b", root_header)
    if previous is None:
        raise RuntimeError("the model keeps no previous value of its clock")
    # The crossings of a MAC have a clock of another name and asynchronous resets, so there the model is evaluated.
    fell = "(top)->eval()" if gmii else f"(top)->rootp->{previous.group(1)} = 0"
    return "\n".join(
        [
            '#include "Vdevice.h"',
            '#include "Vdevice___024root.h"',
            "void Vdevice___024root___eval(Vdevice___024root* vlSelf);",
            "void Vdevice___024root___eval_nba(Vdevice___024root* vlSelf);",
            "using Model = Vdevice;",
            f"#define TICKGATE_WAVES {int(waves)}",
            f"enum {{ TRACE_COUNT = {len(TRACES)} }};",
            f"#define SAMPLE_TRACES(top) {sample}",
            f"#define TICKGATE_GMII {int(gmii)}",
            f"#define CLOCK_ROSE(top) {rising}",
            f"#define CLOCK_FELL(top) {fell}",
            "#define CLEAR_INPUTS(top) top->i_a___05Fvalid = top->i_b___05Fvalid = top->i_inject___05Fvalid = 0; "
            "top->bus___05Fw_en = top->bus___05Fr_en = 0; top->o_orders___05Fready = top->o_telemetry___05Fready = 0; "
            "top->i_control___05Fvalid = top->o_control___05Fready = 0;",
            "static inline int64_t read_memory(Model* top, int number, uint64_t* into) { switch (number) {",
            *cases,
            "} return -1; }",
            "#define READ_MEMORY(top, number, into) read_memory(top, number, into)",
            "",
        ]
    )


def _design(sizes: Sizes, waves: bool, faults: frozenset[str], gmii: bool) -> tuple[str, tuple[Memory, ...]]:
    """Verilog of the device from the gateware's sources, and where its memories are in it."""
    from tickgate.gateware.build import to_verilog
    from tickgate.gateware.top import Top
    from tickgate.sim.mac_top import MacTop

    component = MacTop(sizes, faults=faults) if gmii else Top(sizes, trace=True, faults=faults)
    text = verilator.merge_registers(verilator.strip_zero_memories(to_verilog(component, name="device")))
    memories = dump_memories(sizes)
    if gmii:
        return text, tuple(memory.below("top") for memory in memories)
    if waves:  # a waveform is looked at by its hierarchy, and by all of its nets
        return text, memories
    return gating.gated(text, "device"), tuple(memory.flat for memory in memories)


def _train(library: Path, sizes: Sizes) -> None:
    """Runs the training session through a library that counts, in a process of its own.

    Raises
    ------
    RuntimeError: it failed; with the last line that it printed.
    """
    numbers = [str(n) for n in (sizes.slots, sizes.orders, sizes.levels, sizes.stash)]
    # These say where a profile goes, of which the compiler would not know.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GCOV_PREFIX")}
    # A compiler that counts in Clang's way is found out afterwards; its file must not be left in the user's folder.
    kept["LLVM_PROFILE_FILE"] = os.devnull
    try:
        done = subprocess.run(
            [sys.executable, "-m", _TRAINING, str(library), *numbers],
            env=kept, capture_output=True, text=True, timeout=_TRAINING_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the training run took longer than {_TRAINING_LIMIT_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise RuntimeError(f"the training run ended with status {done.returncode}: {said[-1]}")


@functools.cache
def _tell_untrained(entry: Path) -> None:
    """Says once of a device that should have a profile and has none that it is slow, and why."""
    found = entry / compiling.UNTRAINED
    if found.exists():
        *_, reason = found.read_text().strip().splitlines()
        print(
            f"tickgate: the simulated device is slower than it could be, compiled without a profile: {reason}; "
            f"remove {entry} to compile it again",
            file=sys.stderr,
        )


def shared_object(
    sizes: Sizes,
    *,
    waves: bool = False,
    faults: frozenset[str] = frozenset(),
    gmii: bool = False,
    netlist: Path | None = None,
) -> Path:
    """Path of the compiled device of these sizes, with `gmii` behind its MAC; built where the cache has none.

    Parameters
    ----------
    netlist: a synthesised device, which is built instead of one from the gateware's sources.

    Raises
    ------
    UserError: no C++ compiler, or `netlist` is none. RuntimeError: a tool failed; it ends with what that printed.
    """
    gate_level = "" if netlist is None else gates.read(netlist)
    key = cache.design_hash(
        "device", sizes, waves, gmii, sorted(faults), gate_level, HARNESS.read_bytes(), _sources(), _VERILATE, _COMPILE
    )

    def make(folder: Path) -> None:
        compiler = shutil.which(os.environ.get("CXX", "g++"))
        if compiler is None:
            raise UserError("no C++ compiler: install the Debian package g++")
        text, memories = (gate_level, ()) if gate_level else _design(sizes, waves, faults, gmii)
        (folder / "device.v").write_text(text)
        (folder / "public.vlt").write_text(_public(memories))
        waves_flags = ["--trace-vcd"] if waves else []
        verilator.run(
            [str(verilator.bin_folder() / "verilator"), *_VERILATE, *waves_flags, "public.vlt", "device.v"], folder
        )
        obj = folder / "obj"
        texts = []
        for source in sorted(obj.glob("Vdevice___024root__*.cpp")):
            texts.append(gating.hinted(source.read_text()))
            source.write_text(texts[-1])
        root = (obj / "Vdevice___024root.h").read_text()
        # What stands around the evaluation is for messages and objects, of which only cells have any.
        rising = "(top)->eval()" if gmii or waves or gate_level else _rising("".join(texts))
        (obj / "ports.h").write_text(_ports_header(root, rising, memories, waves, gmii))
        shutil.copy(HARNESS, obj / "harness.cpp")
        include = verilator.bin_folder().parent / "include"
        runtime = ["verilated.cpp", "verilated_threads.cpp"] + (["verilated_vcd_c.cpp"] if waves else [])
        flags = (*_COMPILE, f"-DVM_TRACE={int(waves)}", f"-DVM_TRACE_VCD={int(waves)}", "-I.", f"-I{include}",
                 f"-I{include}/vltstd")  # fmt: skip
        hot: list[Path] = []
        cold: list[tuple[Path, tuple[str, ...]]] = [(include / name, ()) for name in runtime]
        for source in sorted(obj.glob("*.cpp")):
            # Start-up code runs once and is most of the text of deep memories; gates are too many to be optimised.
            if gate_level or "Slow" in source.stem or "Syms" in source.stem:
                cold.append((source, ("-O0",)))
            else:
                hot.append(source)
        trains = not (waves or faults or gmii or gate_level) and sizes == sizes_named(DEFAULT_SIZE)
        reason = compiling.library(
            compiling.Compilation(compiler, flags, obj),
            hot,
            cold,
            folder / "device.so",
            (lambda library: _train(library, sizes)) if trains else None,
        )
        if reason:
            (folder / compiling.UNTRAINED).write_text(reason + "\n")
        shutil.rmtree(obj)

    entry = cache.entry("waves" if waves else "device", key, make)
    _tell_untrained(entry)
    return entry / "device.so"

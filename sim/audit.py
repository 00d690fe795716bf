"""The latency audit: what the emitted Verilog says of a component, against what the component states.

Independent of simulation: `tickgate.sim.netlist` counts registers on paths of the Verilog. For each pair of ports in a
component's `latency_cycles` table the fewest registers from any bit of the one to the other's `valid` must be the
smallest minimum that the table states for the pair, and no class may state less. Beside it: ports equal the signature,
nothing that is read is undriven, no input is unused, and no path leads from an input to an output without a register
unless the component declares it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tickgate.gateware.build import STAGES, to_verilog
from tickgate.sim.netlist import Bit, Netlist
from tickgate.sim.verilator import strip_zero_memories
from tickgate.sw.spec.sizes import Sizes

#: Small on purpose: the number of registers on a path does not depend on how deep a memory is.
AUDIT_SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)


@dataclass(frozen=True)
class LatencyRow:
    """One pair of ports: what the table states and what the Verilog has; None where no path exists."""

    source: str
    sink: str
    stated: int
    found: int | None


@dataclass
class StageAudit:
    """Findings for one stage; `problems` is empty when it passes."""

    stage: str
    rows: list[LatencyRow] = field(default_factory=list)
    combinational: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def signature_ports(component: Any) -> dict[str, tuple[str, int]]:
    """Name to (direction, width) of what the component's signature promises, clock and reset included."""
    from amaranth.hdl import Value
    from amaranth.lib.wiring import Flow

    ports = {"clk": ("input", 1), "rst": ("input", 1)}
    for path, member, value in component.signature.flatten(component):
        raw = Value.cast(value)
        if len(raw) and type(raw).__name__ != "Const":
            name = "__".join(str(p) for p in path)
            ports[name] = ("input" if member.flow is Flow.In else "output", len(raw))
    return ports


def _bits(netlist: Netlist, port: str) -> list[Bit]:
    """Bits of a port, or of all members of an interface; what runs against its direction is left out."""
    way = None
    found: list[Bit] = []
    for name, (direction, _) in netlist.ports.items():
        if name == port or name.startswith(f"{port}__"):
            if name.endswith("__ready"):
                continue
            way = way or direction
            found += netlist.bits(name)
    return found


def _sink_bits(netlist: Netlist, port: str) -> list[Bit]:
    return netlist.bits(f"{port}__valid") if f"{port}__valid" in netlist.ports else _bits(netlist, port)


def audit_netlist(stage: str, component: Any, netlist: Netlist) -> StageAudit:
    """Holds one component to its Verilog."""
    found = StageAudit(stage)
    promised = signature_ports(component)
    if promised != netlist.ports:
        for name in sorted(promised.keys() | netlist.ports.keys()):
            if promised.get(name) != netlist.ports.get(name):
                found.problems.append(
                    f"port {name}: the signature says {promised.get(name)}, the Verilog {netlist.ports.get(name)}"
                )
    pairs: dict[tuple[str, str], int] = {}
    for (source, sink, _), (least, most) in component.latency_cycles.items():
        if most is not None and most < least:
            found.problems.append(f"latency {source} to {sink}: maximum {most} is below minimum {least}")
        pairs[source, sink] = min(least, pairs.get((source, sink), least))
    if not pairs:
        found.problems.append("no latency_cycles stated")
    for (source, sink), stated in pairs.items():
        sources, sinks = _bits(netlist, source), _sink_bits(netlist, sink)
        if not sources or not sinks:
            found.problems.append(f"latency {source} to {sink}: no such ports")
            continue
        registers = netlist.fewest_registers(sources, sinks)
        found.rows.append(LatencyRow(source, sink, stated, registers))
        if registers != stated:
            found.problems.append(f"latency {source} to {sink}: {stated} stated, {registers} registers in the Verilog")
    allowed = set(getattr(component, "combinational_paths", ()))
    inputs = [n for n, (way, _) in netlist.ports.items() if way == "input" and n not in ("clk", "rst")]
    for output in (n for n, (way, _) in netlist.ports.items() if way == "output"):
        for name in netlist.unregistered_inputs(output):
            if name in inputs:
                found.combinational.append((name, output))
                if (name, output) not in allowed:
                    found.problems.append(f"combinational path from {name} to {output}")
    found.problems += [f"undriven: {name}" for name in netlist.undriven()]
    unused = set(getattr(component, "unused_inputs", ()))
    found.problems += [f"unused input: {name}" for name in netlist.unused_inputs() if name not in unused]
    return found


def audit_stage(stage: str, sizes: Sizes = AUDIT_SIZES) -> StageAudit:
    """Audits one stage at `sizes`."""
    component = STAGES[stage](sizes, frozenset())
    text = strip_zero_memories(to_verilog(component, name="audited"))
    return audit_netlist(stage, component, Netlist(text, "audited"))

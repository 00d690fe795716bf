"""The part of a stage's page that its component decides: ports, latencies, counters, faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tickgate.sw.report import docstrings
from tickgate.sw.report.reference_pages import table
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named


def interface(stage: str, maker: Callable[..., Any]) -> str:
    """The sections `Parameters`, `Ports`, `Latency`, `Counters` and `Planted faults` of a stage's page."""
    component = maker(sizes_named(DEFAULT_SIZE), frozenset())
    kind = type(component)
    doc = kind.__doc__ or ""
    parts = [f"`{kind.__module__}.{kind.__name__}`"]
    parameters = docstrings.entries(doc, "Parameters")
    if parameters:
        parts += ["## Parameters", table(("parameter", "meaning"), [(_code(p.name), p.text) for p in parameters])]
    parts += ["## Ports", table(("port", "shape and meaning"), _ports(doc))]
    latencies = getattr(component, "latency_cycles", {})
    if latencies:
        rows = [
            (_code(source), _code(sink), name, low if low == high else f"{low} to {high}")
            for (source, sink, name), (low, high) in latencies.items()
        ]
        parts += ["## Latency", "In cycles of the core clock; a registered pass-through is 1.", "",
                  table(("from", "to", "class", "cycles"), rows)]  # fmt: skip
    if component.COUNTERS:
        names = ", ".join(map(_code, component.COUNTERS))
        parts += ["## Counters", f"{names}. See [registers](../reference/registers.md)."]
    faults = [(_code(name), text) for name, text in kind.FAULTS.items()]
    if faults and stage != "top":
        parts += ["## Planted faults",
                  "Each is an argument of the constructor that only the tests of the tests give; the stage's tests or "
                  "its bench must catch it. The Verilog of a design holds nothing of them.", "",
                  table(("fault", "what is wrong"), faults)]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def latencies(makers: Mapping[str, Callable[..., Any]]) -> str:
    """The latencies of every stage in one table."""
    rows = []
    for stage, maker in makers.items():
        stated = getattr(maker(sizes_named(DEFAULT_SIZE), frozenset()), "latency_cycles", {})
        for (source, sink, name), (low, high) in stated.items():
            if not sink.startswith("cfg_"):
                rows.append((stage, _code(source), _code(sink), name, low if low == high else f"{low} to {high}"))
    return table(("stage", "from", "to", "class", "cycles"), rows) + "\n"


def _ports(doc: str) -> list[tuple[str, str]]:
    rows = []
    for member in docstrings.entries(doc):
        rows.append((_code(member.name), member.text))
    return rows


def _code(text: str) -> str:
    return f"`{text}`"

"""Verilog of any component, and every stage by name for simulation, audit, timing and export."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from tickgate.sw.spec.sizes import Sizes

Maker = Callable[[Sizes, frozenset[str]], Any]


@contextlib.contextmanager
def elaborating() -> Iterator[None]:
    """Python looks for no garbage meanwhile.

    A design is millions of objects, all in use until it is written; to look through them again and again takes longer
    than to make them.
    """
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looks:
            gc.enable()


def to_verilog(component: Any, name: str) -> str:
    """Verilog of a component and everything in it; the same text in any folder.

    Parameters
    ----------
    name: of its top module.
    """
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"  # another Yosys on the path would write other text
    from amaranth.back import verilog
    from amaranth.hdl import Const, Value
    from amaranth.lib.wiring import Flow

    ports = {}
    for path, member, value in component.signature.flatten(component):
        raw = Value.cast(value)
        if isinstance(raw, Const):  # `ready` of a stream that is always ready is no port
            continue
        ports["__".join(map(str, path))] = (raw, _direction(member.flow is Flow.In))
    with elaborating():
        return str(verilog.convert(component, name=name, ports=ports, emit_src=False, strip_internal_attrs=True))


def _direction(is_input: bool) -> Any:
    from amaranth.hdl._ir import PortDirection

    return PortDirection.Input if is_input else PortDirection.Output


def _feed(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.feed import Feed

    return Feed(faults=faults)


def _itch(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.itch import Itch

    return Itch(sizes, faults=faults)


def _book(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.book import Book

    return Book(sizes, faults=faults)


def _trigger(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.trigger import Trigger

    return Trigger(sizes, faults=faults)


def _risk(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.risk import Risk

    return Risk(sizes, faults=faults)


def _orders(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.orders import Orders

    return Orders(faults=faults)


def _registers(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.registers import Registers
    from tickgate.gateware.top import COUNTER_SOURCES

    return Registers(sizes, COUNTER_SOURCES, faults=faults)


def _telemetry(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.telemetry import Telemetry

    return Telemetry(faults=faults)


def _control(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.control import Control

    return Control(faults=faults)


def _mac(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.mac.mac import GmiiMac

    return GmiiMac(rx_domain="sync", tx_domain="sync", faults=faults)


def _top(sizes: Sizes, faults: frozenset[str]) -> Any:
    from tickgate.gateware.top import Top

    return Top(sizes, trace=False, faults=faults)


#: What makes the component of each stage from sizes and planted faults; `top` is the design for hardware. All have one
#: clock: the stage `mac` too, which a board gives two more.
STAGES: dict[str, Maker] = {
    "mac": _mac,
    "feed": _feed,
    "itch": _itch,
    "book": _book,
    "trigger": _trigger,
    "risk": _risk,
    "orders": _orders,
    "registers": _registers,
    "telemetry": _telemetry,
    "control": _control,
    "top": _top,
}


def build_id(sizes: Sizes) -> int:
    """First 64 bits of the SHA-256 of the device's Verilog with the build id 0."""
    text = to_verilog(_top(sizes, frozenset()), name="top")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def export(stage: str, sizes: Sizes, name: str) -> str:
    """Verilog of a stage for use anywhere; that of `top` tells its build id.

    Raises
    ------
    KeyError: no such stage.
    """
    if stage != "top":
        return to_verilog(STAGES[stage](sizes, frozenset()), name)
    from tickgate.gateware.top import Top

    return to_verilog(Top(sizes, trace=False, build_id=build_id(sizes)), name)

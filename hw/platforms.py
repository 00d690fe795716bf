"""The platforms of the boards, with what the definitions of amaranth-boards need changed, and the designs for them."""

from __future__ import annotations

import importlib
from typing import Any

from tickgate.hw.boards import Board
from tickgate.sw.spec.errors import UserError

#: Tools that turn a design into a bitstream, by toolchain; programmers are not among them.
REQUIRED_TOOLS = {
    "trellis": ("yosys", "nextpnr-ecp5", "ecppack"),
    "icestorm": ("yosys", "nextpnr-ice40", "icepack"),
    "vivado": ("vivado",),
}
_CONSTRUCTOR: dict[str, dict[str, Any]] = {
    "trellis": {"toolchain": "Trellis"},
    "icestorm": {"toolchain": "IceStorm"},
    "vivado": {"toolchain": "Vivado"},
}


def platform_for(board: Board) -> Any:
    """A fresh platform of a board; it serves one design.

    Raises
    ------
    UserError: amaranth-boards is not installed.
    """
    module, _, name = board.platform.partition(":")
    try:
        base = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise UserError("amaranth-boards is not installed: pip install 'tickgate[boards]'") from error
    members = {
        "required_tools": list(REQUIRED_TOOLS[board.toolchain]),
        "resources": _resources(board, base),
        "__doc__": f"{board.title}, as `tickgate.hw.boards` describes it.",
    }
    # The class keeps its name: reports of the tools show it.
    return type(base.__name__, (base,), members)(**_CONSTRUCTOR[board.toolchain])


def _resources(board: Board, base: Any) -> list[Any]:
    """The resources of the definition, as the design can request them."""
    from amaranth.build import Attrs, Pins, Resource

    found = list(base.resources)
    shared = {(p.resource, p.number) for n, p in enumerate(board.ports) if p.management != n}
    changed = []
    for resource in found:
        if (resource.name, resource.number) in shared:
            # Two ports that share pins could not be requested both: the first one has them.
            kept = [io for io in resource.ios if io.name not in ("rst", "mdc", "mdio", "tx_dis")]
            attrs = [Attrs(**resource.attrs)] if resource.attrs else []
            changed.append(Resource(resource.name, resource.number, *kept, *attrs))
        elif resource.name == "rgb_leds_muxed":
            # Seven common pins, and one a colour: seven lights in green, the other colours off.
            attrs = Attrs(**resource.attrs)
            for number, pin in enumerate(_names(resource, "leds")):
                changed.append(Resource("led", number, Pins(pin, dir="o"), attrs))
            for colour in ("r", "g", "b"):
                (pin,) = _names(resource, colour)
                changed.append(Resource("led_colour", "rgb".index(colour), Pins(pin, dir="o"), attrs))
        else:
            changed.append(resource)
    return changed


def _names(resource: Any, part: str) -> list[str]:
    (io,) = [io for io in resource.ios if io.name == part]
    return list(io.ios[0].names)


def board_top(board: Board, *, build_id: int = 0) -> Any:
    """The design of a board, to be elaborated with `platform_for(board)`.

    Parameters
    ----------
    build_id: told by the register of that name.
    """
    if board.top == "probe":
        from tickgate.gateware.board.probe import ProbeTop

        return ProbeTop(board)
    from tickgate.gateware.board.board import BoardTop

    return BoardTop(board, build_id=build_id)

"""A synthesised device for Verilator: the netlist with a model of every cell, or none at all.

Yosys has only black boxes for block RAMs and multipliers, which Verilator builds without a word and reads as 0. Here a
module without a body is refused, as is a cell without a module; the models that Yosys lacks are in `ecp5.v`.
"""

from __future__ import annotations

import re
from pathlib import Path

from tickgate.sw.spec.errors import UserError

#: Our own models of cells.
MODELS = Path(__file__).with_name("ecp5.v")

_MODULE = re.compile(r"^module\s+(\\?[\w$]+)(.*?)^endmodule", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^\s+([A-Z][\w$]*)\s+(?:#\s*\(|\S+\s*\()", re.MULTILINE)
_BODY = re.compile(r"^\s*(?:assign|always|initial)\b|^\s*[A-Z][\w$]*\s+(?:#\s*\(|\S+\s*\()", re.MULTILINE)


def complete(netlist: str) -> str:
    """The netlist and the models that it lacks, in one text.

    Raises
    ------
    ValueError: a cell has no model, or a module has no body.
    """
    given = modules(netlist)
    own = modules(MODELS.read_text())
    text = netlist
    for name in sorted(cells(netlist) - given.keys()):
        if name not in own:
            raise ValueError(f"the netlist has cells {name}, of which there is no model")
        text += f"\nmodule {name}{own[name]}endmodule\n"
    empty = sorted(name for name, body in modules(text).items() if not _BODY.search(_inside(body)))
    if empty:
        raise ValueError(f"no body: {', '.join(empty)}; a black box reads 0 without a word")
    return text


def modules(text: str) -> dict[str, str]:
    """What stands behind each module's name, by name."""
    return {found.group(1): found.group(2) for found in _MODULE.finditer(text)}


def cells(text: str) -> set[str]:
    """Names of all modules that are instantiated; those of vendors are written in capitals."""
    return {name for body in modules(text).values() for name in _INSTANCE.findall(_inside(body))}


def _inside(body: str) -> str:
    """A module's text behind its list of ports."""
    return body[body.index(");") + 2 :]


def read(path: Path) -> str:
    """The netlist in `path`, complete.

    Raises
    ------
    UserError: no such file, or it is no netlist with a model of every cell.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if "device" not in modules(text):
        raise UserError(f"{path}: no netlist of a device; tickgate netlist -o FILE writes one")
    try:
        return complete(text)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error

"""The data flow of emitted Verilog, bit by bit, as pyverilog reads it.

A node is one bit of a signal; an edge leads from a bit to each bit that it is computed from, and knows whether a
register lies between them. Memories count as the registers that their clocked reads and writes are.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

Bit = tuple[str, int]

_ATTRIBUTE = re.compile(r"\(\*.*?\*\)", re.DOTALL)
_INITIALISER = re.compile(r"^(\s*(?:reg|wire)\b[^=;]*?)\s*=\s*[^;]+;", re.MULTILINE)
_INITIAL = re.compile(r"^  initial begin\n(?:    .*\n)*?  end\n", re.MULTILINE)
_DUMP_REG = re.compile(r"^\s*if \(\\\$auto\$verilog_backend\S+ \) begin end\n", re.MULTILINE)
_CASEZ = re.compile(r"\bcasez\b")
_DUMP_DECL = re.compile(r"^\s*reg \\\$auto\$verilog_backend\S+\s*;\n", re.MULTILINE)


def for_pyverilog(text: str) -> str:
    """Verilog as pyverilog takes it.

    No attributes, no initialisers (they hide the clocked assignment), no initial blocks, and none of Yosys' empty
    statements. A `casez`, whose branches pyverilog passes over, becomes a `casex`, which it reads: for what depends on
    what, it is the same.
    """
    text = _ATTRIBUTE.sub("", text)
    text = _INITIALISER.sub(r"\1 ;", text)  # the blank ends an escaped name
    text = _INITIAL.sub("", text)
    text = _CASEZ.sub("casex", text)
    text = _DUMP_REG.sub("", text)
    return _DUMP_DECL.sub("", text)


class Netlist:
    """The data flow of one design.

    Parameters
    ----------
    text: Verilog of the design and all its modules.
    top: name of its top module.

    Members
    -------
    ports: name to (direction, width) of the top module, direction `input` or `output`.
    widths: width of every signal by hierarchical name.

    Raises
    ------
    NotImplementedError: a statement that pyverilog does not follow, or (when sources are asked for) an expression
        unknown here.
    """

    def __init__(self, text: str, top: str):
        with warnings.catch_warnings():  # importing pyverilog leaves its VERSION file open
            warnings.simplefilter("ignore", ResourceWarning)
            from pyverilog.dataflow.bindvisitor import BindVisitor
            from pyverilog.dataflow.modulevisitor import ModuleVisitor
            from pyverilog.dataflow.signalvisitor import SignalVisitor
            from pyverilog.vparser.parser import VerilogParser

        with tempfile.TemporaryDirectory() as tables:
            ast = VerilogParser(outputdir=tables, debug=False).parse(for_pyverilog(text))
        for statement in _statements(ast) - {"EventStatement"}:  # which is how an empty statement is parsed
            if not hasattr(BindVisitor, f"visit_{statement}"):
                raise NotImplementedError(f"{top} has a {statement}, over which pyverilog passes")
        modules = ModuleVisitor()
        modules.visit(ast)
        signals = SignalVisitor(modules.get_moduleinfotable(), top)
        signals.start_visit()
        binds = BindVisitor(modules.get_moduleinfotable(), top, signals.getFrameTable(), noreorder=True)
        binds.start_visit()
        flow = binds.getDataflows()
        self.top = top
        self._binds: dict[str, list[Any]] = {str(k): v for k, v in flow.getBinddict().items()}
        self.widths: dict[str, int] = {}
        self.memories: set[str] = set()
        self.ports: dict[str, tuple[str, int]] = {}
        self._lsb: dict[str, int] = {}
        for name, term in flow.getTerms().items():
            key = str(name)
            msb, lsb = _number(term.msb), _number(term.lsb)
            self.widths[key] = msb - lsb + 1
            self._lsb[key] = lsb
            kinds = set(term.termtype)
            if getattr(term, "dims", None) is not None:
                self.memories.add(key)
            if key.count(".") == 1 and kinds & {"Input", "Output"}:
                self.ports[key.split(".", 1)[1]] = ("input" if "Input" in kinds else "output", self.widths[key])
        self._cache: dict[Bit, tuple[tuple[Bit, bool], ...]] = {}

    def bits(self, port: str) -> list[Bit]:
        """The bits of a port of the top module."""
        name = f"{self.top}.{port}"
        return [(name, i) for i in range(self.widths[name])]

    def sources(self, bit: Bit) -> tuple[tuple[Bit, bool], ...]:
        """The bits that `bit` is computed from, each with whether a register lies between."""
        found = self._cache.get(bit)
        if found is None:
            found = self._cache[bit] = tuple(dict.fromkeys(self._sources(bit)))
        return found

    def _sources(self, bit: Bit) -> Iterator[tuple[Bit, bool]]:
        name, index = bit
        for bind in self._binds.get(name, ()):
            clocked = bind.isClockEdge()
            low = _number(bind.lsb) - self._lsb.get(name, 0) if bind.lsb is not None else 0
            high = _number(bind.msb) - self._lsb.get(name, 0) if bind.msb is not None else self.widths[name] - 1
            if name in self.memories:
                low, high = 0, self.widths[name] - 1
            if bind.ptr is not None:
                if name not in self.memories:
                    pointer = _constant(bind.ptr)
                    if pointer is not None:
                        low = high = pointer - self._lsb.get(name, 0)
                for source in self._terms(bind.ptr, None):
                    yield source, clocked
            if not low <= index <= high or bind.tree is None:
                continue
            for source in self._terms(bind.tree, index - low):
                yield source, clocked

    def _width(self, tree: Any) -> int | None:
        kind = type(tree).__name__
        if kind == "DFTerminal":
            return self.widths.get(str(tree.name))
        if kind == "DFPartselect":
            return _number(tree.msb) - _number(tree.lsb) + 1
        if kind == "DFPointer":
            return self.widths.get(str(tree.var.name)) if str(tree.var.name) in self.memories else 1
        if kind == "DFIntConst":
            text = str(tree.value)
            return int(text.split("'")[0]) if "'" in text else 32
        if kind == "DFConcat":
            widths = [self._width(n) for n in tree.nextnodes]
            return None if None in widths else sum(w for w in widths if w is not None)
        if kind == "DFBranch":
            parts = [n for n in (tree.truenode, tree.falsenode) if n is not None]
            widths = [self._width(n) for n in parts]
            return widths[0] if widths else None
        return None

    def _terms(self, tree: Any, index: int | None) -> Iterable[Bit]:
        """Bits that bit `index` of an expression depends on; None asks for all of them."""
        kind = type(tree).__name__
        if kind == "DFTerminal":
            name = str(tree.name)
            width = self.widths[name]
            if index is None:
                return [(name, i) for i in range(width)]
            return [(name, index)] if index < width else []
        if kind == "DFPartselect":
            low, high = _number(tree.lsb), _number(tree.msb)
            if type(tree.var).__name__ == "DFTerminal":
                low, high = low - self._lsb[str(tree.var.name)], high - self._lsb[str(tree.var.name)]
            wanted = range(low, high + 1) if index is None else [low + index] if low + index <= high else []
            return [b for i in wanted for b in self._terms(tree.var, i)]
        if kind == "DFPointer":
            name = str(tree.var.name)
            pointer = list(self._terms(tree.ptr, None))
            if name in self.memories:
                row = range(self.widths[name]) if index is None else [index]
                return pointer + [(name, i) for i in row]
            fixed = _constant(tree.ptr)
            if fixed is not None:
                return [(name, fixed - self._lsb[name])] if index in (None, 0) else []
            return pointer + [(name, i) for i in range(self.widths[name])]
        if kind == "DFConcat":
            if index is None:
                return [b for n in tree.nextnodes for b in self._terms(n, None)]
            at = 0
            for node in reversed(tree.nextnodes):
                node_width = self._width(node)
                if node_width is None:
                    return [b for n in tree.nextnodes for b in self._terms(n, None)]
                if index < at + node_width:
                    return self._terms(node, index - at)
                at += node_width
            return []
        if kind == "DFBranch":
            out = list(self._terms(tree.condnode, None))
            for node in (tree.truenode, tree.falsenode):
                if node is not None:
                    out += self._terms(node, index)
            return out
        if kind == "DFOperator" and tree.operator in ("And", "Or", "Xor", "Unot", "Xnor"):
            return [b for n in tree.nextnodes for b in self._terms(n, index)]
        if kind in ("DFIntConst", "DFEvalValue"):
            return []
        if kind not in ("DFOperator", "DFSyscall"):
            raise NotImplementedError(f"the data flow of {self.top} has a {kind}, of which nothing is known")
        return [b for n in tree.nextnodes for b in self._terms(n, None)]

    def fewest_registers(self, sources: Iterable[Bit], sinks: Iterable[Bit]) -> int | None:
        """The fewest registers on any path from one of `sources` to one of `sinks`; None where no path exists."""
        goal = set(sources)
        distance: dict[Bit, int] = {b: 0 for b in sinks}
        queue = deque(distance)
        best: int | None = None
        while queue:
            bit = queue.popleft()
            here = distance[bit]
            if best is not None and here >= best:
                continue
            if bit in goal:
                best = here
                continue
            for source, clocked in self.sources(bit):
                there = here + clocked
                if there < distance.get(source, 1 << 30):
                    distance[source] = there
                    if clocked:
                        queue.append(source)
                    else:
                        queue.appendleft(source)
        return best

    def unregistered_inputs(self, output: str) -> list[str]:
        """Inputs of the top module that reach `output` through no register."""
        seen: set[Bit] = set(self.bits(output))
        queue = deque(seen)
        found = set()
        while queue:
            name, index = queue.popleft()
            port = name.removeprefix(f"{self.top}.")
            if self.ports.get(port, ("", 0))[0] == "input":
                found.add(port)
            for source, clocked in self.sources((name, index)):
                if not clocked and source not in seen:
                    seen.add(source)
                    queue.append(source)
        return sorted(found)

    def undriven(self) -> list[str]:
        """Signals below the top that nothing drives although something reads them."""
        read = {s[0] for name, width in self.widths.items() for i in range(width) for s, _ in self.sources((name, i))}
        inputs = {f"{self.top}.{p}" for p, (way, _) in self.ports.items() if way == "input"}
        return sorted(n for n in read if n not in self._binds and n not in inputs and n in self.widths)

    def unused_inputs(self) -> list[str]:
        """Inputs of the top module that nothing reads."""
        read = {s[0] for name, width in self.widths.items() for i in range(width) for s, _ in self.sources((name, i))}
        names = (p for p, (way, _) in self.ports.items() if way == "input" and p not in ("clk", "rst"))
        return sorted(p for p in names if f"{self.top}.{p}" not in read)

    def constant_outputs(self) -> list[str]:
        """Outputs of the top module that depend on no input and no register."""
        return sorted(
            p
            for p, (way, _) in self.ports.items()
            if way == "output" and not any(self.sources(b) for b in self.bits(p))
        )


def _statements(node: Any) -> set[str]:
    """Kinds of statements in a syntax tree."""
    kind = type(node).__name__
    found = {kind} if kind.endswith("Statement") else set()
    children = node.children() if hasattr(node, "children") else ()  # pyverilog leaves a bare word here and there
    return found.union(*(_statements(child) for child in children))


def _constant(tree: Any) -> int | None:
    try:
        return _number(tree)
    except ValueError:
        return None


def _number(tree: Any) -> int:
    if tree is None:
        return 0
    if isinstance(tree, int):
        return tree
    kind = type(tree).__name__
    if kind in ("DFIntConst", "DFEvalValue"):
        if kind == "DFEvalValue":
            return int(tree.value)
        text = str(tree.value).replace("_", "")
        if "'" not in text:
            return int(text)
        base = text.split("'")[1].lstrip("s")
        return int(base[1:], {"h": 16, "d": 10, "b": 2, "o": 8}[base[0]])
    # An assignment to several parts at once has its bounds as sums of constants.
    if kind == "DFOperator" and tree.operator in ("Plus", "Minus"):
        left, right = (_number(n) for n in tree.nextnodes)
        return left + right if tree.operator == "Plus" else left - right
    raise ValueError(f"{kind} is no constant")

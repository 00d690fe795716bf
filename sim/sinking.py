"""Says of a flat design's logic where its result is used, so that a simulator computes it in those cycles only.

Most registers of a pipeline load under a condition: the transaction of their stage is there. What computes their next
values matters in the same cycles only, but as continuous assignments it is computed in every cycle. Here each such
assignment is put into the block of the registers, behind the same condition; `sim.gating` writes these blocks. A
register's value after every edge is what it was: only when a value is computed changes, never which.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from tickgate.sim.flatten import Flat, Statement, names, only_name, written
from tickgate.sim.merging import merge_aliases, merge_equal

_IF = re.compile(r"(end else )?if \((.*)\)( begin(?: end)?)?$")
_BOTH = re.compile(r"(\S+) & (\S+)$")
_CHOICE = re.compile(r"(\S+) \? (\S+) : 1'h0$")
ASSIGNMENT = re.compile(r"((?:\\\S+ |[^=<\\])*?) ?(<?=) (.*);$")

#: In front of the valid bit of a record port, as the name of the block that computes the record.
PORT = "port "
CLOCK = ("clk", "rst")
_PAYLOAD, _VALID = "__payload", "__valid"


@dataclass(eq=False)
class Node:
    """A piece of combinational logic: what it sets, what it reads, its lines as a procedure."""

    sets: set[str]
    reads: set[str]
    lines: list[str]
    block: str | None = None


@dataclass
class Process:
    """A clocked process without its reset: its lines, what it sets and reads, and the conditions that hold wherever it
    sets something."""

    lines: list[str]
    reset: list[str]
    reads: set[str] = field(default_factory=set)
    whole: frozenset[str] = frozenset()
    block: str | None = None
    sets: set[str] = field(default_factory=set)


def statement_reads(line: str) -> tuple[set[str], set[str]]:
    """What an assignment sets and what it reads, an index on its left side included."""
    match = ASSIGNMENT.match(line)
    if match is None:
        return set(), set(names(line))
    left, _, right = match.groups()
    sets, reads = set(), set(names(right))
    if left.startswith("{"):
        sets |= set(names(left))
    else:
        found = list(names(left))
        sets.add(found[0])
        reads |= set(found[1:])
    return sets, reads


class _Conditions:
    """Which 1-bit nets are true where another one is."""

    def __init__(self, flat: Flat):
        self._rights: dict[str, str] = {}
        self._flat = flat
        for statement in flat.statements:
            if statement.kind == "assign":
                left, right = statement.assigned
                name = only_name(left)
                if name is not None and self._one_bit(name):
                    self._rights[name] = right
        self._known: dict[str, frozenset[str]] = {}

    def _one_bit(self, name: str) -> bool:
        declared = self._flat.declarations.get(name)
        return declared is not None and declared.bits == 1 and not declared.depth

    def of(self, text: str) -> frozenset[str]:
        """Names of nets that are true where the condition `text` is."""
        name = only_name(text)
        if name is None or not self._one_bit(name):
            return frozenset()
        if name not in self._known:
            self._known[name] = frozenset({name})  # a loop ends here
            found = {name}
            right = self._rights.get(name, "")
            both = _BOTH.match(right) or _CHOICE.match(right)
            if both:
                for part in both.groups():
                    found |= self.of(part)
            elif right:
                found |= self.of(right)
            self._known[name] = frozenset(found)
        return self._known[name]


def _process(statement: Statement, conditions: _Conditions) -> Process:
    """Reads a clocked process line by line; its conditions nest as Yosys writes them."""
    lines, reset = list(statement.lines), []
    if len(lines) > 3 and lines[-3] == "if (rst) begin" and lines[-1] == "end":
        lines, reset = lines[:-3], lines[-2:-1]
    process = Process(lines, reset)
    wholes: list[frozenset[str]] = []
    path: list[frozenset[str]] = []
    single: frozenset[str] = frozenset()  # the condition of an `if` without `begin`
    for line in lines:
        text = line.strip()
        under, single = single, frozenset()
        if found := _IF.match(text):
            otherwise, condition, opens = found.groups()
            if otherwise:
                path.pop()
            process.reads |= set(names(condition))
            if opens is None:
                single = conditions.of(condition)
            elif opens.endswith("begin"):
                path.append(conditions.of(condition))
        elif text == "end else begin":
            path[-1] = frozenset()
        elif text in ("end", "endcase"):
            path.pop()
        elif text == "begin":
            path.append(frozenset())
        elif text.startswith("casez"):
            process.reads |= set(names(text[6:]))
            path.append(frozenset())
        elif ASSIGNMENT.match(text):
            sets, reads = statement_reads(text)
            process.sets |= sets
            process.reads |= reads
            wholes.append(under.union(*path))
    process.whole = frozenset.intersection(*wholes) if wholes else frozenset()
    return process


def _nodes(flat: Flat) -> list[Node]:
    """The combinational logic, drivers of parts of one net together."""
    by_name: dict[str, Node] = {}
    nodes: list[Node] = []
    for statement in flat.statements:
        if statement.kind == "assign":
            sets, reads = statement_reads(statement.lines[0].removeprefix("assign "))
            lines = [statement.lines[0].removeprefix("assign ")]
        elif statement.kind == "comb":
            sets, reads, lines = set(), set(), list(statement.lines)
            for line in lines:
                text = line.strip()
                if not text.startswith(("if", "end", "casez")) and ASSIGNMENT.match(text):
                    more, uses = statement_reads(text)
                    sets |= more
                    reads |= uses
                else:
                    reads |= set(names(text))
        else:
            continue
        node = Node(sets, reads, lines)
        for name in list(sets):
            other = by_name.get(name)
            if other is not None and other is not node:
                node = Node(node.sets | other.sets, node.reads | other.reads, other.lines + node.lines)
                nodes.remove(other)
        nodes.append(node)
        for name in node.sets:
            by_name[name] = node
    return nodes


def _ordered(nodes: list[Node]) -> list[Node]:
    """Nodes in an order in which each stands behind those that it reads, as far as there is one."""
    by_name = {name: node for node in nodes for name in node.sets}
    done: set[int] = set()
    order: list[Node] = []
    for start in nodes:
        stack = [(start, iter(sorted(start.reads)))]
        if id(start) in done:
            continue
        done.add(id(start))
        while stack:
            node, reads = stack[-1]
            for name in reads:
                before = by_name.get(name)
                if before is not None and id(before) not in done:
                    done.add(id(before))
                    stack.append((before, iter(sorted(before.reads))))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


@dataclass(frozen=True)
class Sunk:
    """A design with each piece of logic and each process assigned to the block in which it is computed.

    Members
    -------
    flat: what is declared, and the `initial` blocks. nodes: in their order, those that nobody reads left out.
    """

    flat: Flat
    processes: list[Process]
    nodes: list[Node]


def assigned(flat: Flat, records: dict[str, str]) -> Sunk:
    """Says for each piece of logic and each process in which block it is computed.

    Registers, memories and ports keep their names; of registers that always hold the same, one is left.

    Parameters
    ----------
    records: outputs that are looked at only where another output is 1, by name, with the name of that one.
    """
    flat = merge_equal(merge_aliases(flat))
    conditions = _Conditions(flat)
    processes = [_process(s, conditions) for s in flat.statements if s.kind == "clocked"]
    nodes = _ordered(_nodes(flat))
    # A process goes to the block of its most common condition, so that one block takes a whole stage of a pipeline.
    popular = Counter(name for process in processes for name in process.whole)
    for process in processes:
        if process.whole:
            process.block = max(process.whole, key=lambda name: (popular[name], name))
    ports = {name for name, declared in flat.declarations.items() if declared.port} - records.keys()
    users: dict[str, set[str | None]] = defaultdict(set)
    for process in processes:
        for name in process.reads:
            users[name].add(process.block)
        if process.block is not None:
            users[process.block].add(None)
    for port, valid in records.items():
        users[port].add(PORT + valid)
        users[valid].add(None)
    live = []
    for node in reversed(nodes):
        blocks = set().union(*(users[name] for name in node.sets))
        if not blocks and not node.sets & ports:
            continue  # nobody reads it
        live.append(node)
        if not node.sets & (ports | node.reads):
            node.block = _common(blocks, conditions)
        for name in node.reads:
            users[name].add(node.block)
    return Sunk(flat, processes, live[::-1])


def _common(blocks: set[str | None], conditions: _Conditions) -> str | None:
    """The block for logic that only `blocks` read: the one, or a port's of a condition that holds in all of them."""
    if len(blocks) == 1:
        return next(iter(blocks))
    if None in blocks:
        return None
    held = [conditions.of((block or "").removeprefix(PORT)) for block in blocks]
    shared = frozenset.intersection(*held)
    return PORT + min(shared) if shared else None


def rebuild(flat: Flat, nodes: list[Node]) -> Flat:
    """The logic of outputs alone, with the ports of `flat` and the initial values of its memories.

    Parameters
    ----------
    nodes: in their order, each in no block or in that of a port.
    """
    read = {name for node in nodes for name in node.reads | node.sets}
    declarations = {name: d for name, d in flat.declarations.items() if name in read or d.port or name in CLOCK}
    statements = [s for s in flat.statements if s.kind == "initial"]
    bodies: dict[tuple[str, int], list[str]] = defaultdict(list)
    levels = _levels(nodes)
    for node in nodes:
        if node.block is not None:
            bodies[node.block, levels[id(node)]] += node.lines
            declarations |= {name: replace(declarations[name], kind="reg") for name in node.sets}
    for (block, _), body in bodies.items():
        statements.append(Statement("comb", (f"if ({written(block.removeprefix(PORT))}) begin", *body, "end")))
    for node in nodes:
        if node.block is not None:
            continue
        if len(node.lines) == 1 and ASSIGNMENT.match(node.lines[0].strip()):
            statements.append(Statement("assign", (f"assign {node.lines[0].strip()}",)))
        elif all(ASSIGNMENT.match(line.strip()) for line in node.lines) and not any(
            declarations[name].kind == "reg" for name in node.sets
        ):
            statements += [Statement("assign", (f"assign {line.strip()}",)) for line in node.lines]
        else:
            statements.append(Statement("comb", tuple(node.lines)))
    return Flat(flat.ports, declarations, statements)


def _levels(nodes: list[Node]) -> dict[int, int]:
    """For each node how often logic changes from one block to another on its way: the conditional blocks of
    combinational logic of one level do not depend on each other in a circle."""
    by_name = {name: node for node in nodes for name in node.sets}
    levels: dict[int, int] = {}
    for node in nodes:
        level = 0
        for name in node.reads:
            before = by_name.get(name)
            if before is not None and id(before) in levels:
                level = max(level, levels[id(before)] + (before.block != node.block))
        levels[id(node)] = level
    return levels


def records(flat: Flat) -> dict[str, str]:
    """Outputs that are looked at only while another output is 1, with the name of that one.

    A port `x__payload` counts only where `x__valid` is 1: what a stream or a trace shows otherwise means nothing.
    """
    found = {}
    for port in flat.ports:
        valid = port.removesuffix(_PAYLOAD) + _VALID
        if port.endswith(_PAYLOAD) and flat.declarations[port].port == "output" and valid in flat.ports:
            found[port] = valid
    return found


def verilog(flat: Flat, name: str) -> str:
    """A flat design as Verilog."""
    lines = [f"module {name}({', '.join(written(port) for port in flat.ports)});"]
    for net, declared in flat.declarations.items():
        if declared.port:
            lines.append(f"  {declared.port} {declared.width}{written(net)};")
        lines.append(f"  {declared.kind} {declared.width}{written(net)}{declared.depth}{declared.initial};")
    heads = {"comb": "always @* begin", "clocked": "always @(posedge clk) begin", "initial": "initial begin"}
    for statement in flat.statements:
        if statement.kind == "assign":
            lines.append(f"  {statement.lines[0]}")
        elif statement.kind == "task":  # its local variables become those of a function, which blocks' do not
            lines += [f"  task automatic {statement.lines[0]}", *(f"    {line}" for line in statement.lines[1:])]
            lines.append("  endtask")
        else:
            lines += [f"  {heads[statement.kind]}", *(f"    {line}" for line in statement.lines), "  end"]
    return "\n".join([*lines, "endmodule", ""])

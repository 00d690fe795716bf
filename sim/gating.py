"""Evaluates parts of a flat design only in cycles in which something that they read has changed.

What reads the same as when it was last evaluated gives the same again, so leaving it out is exact, whatever the design
means. Combinational logic and registers that load in every cycle are put into clusters. Each has a flag, which whatever
changes one of the values that it reads raises. What loads behind one condition (`sim.sinking`) has such a flag too, or
one that is raised when the condition changes and stays while it holds.

The design becomes one clocked process of blocking assignments: what ports brought; clusters of logic, each behind those
that it reads; registers, each behind all that read it, or held back to the end where there is no such order; the reset.
What outputs show is computed outside of it, as it was.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby

from tickgate.sim.clusters import NEVER, Unit, behind_readers, blocks, clusters, together
from tickgate.sim.flatten import Declaration, Flat, NotUnderstood, Statement, flatten, names, rename, written
from tickgate.sim.masks import masked
from tickgate.sim.narrowing import narrowed
from tickgate.sim.sinking import (
    ASSIGNMENT,
    CLOCK,
    PORT,
    Node,
    Process,
    Sunk,
    assigned,
    rebuild,
    records,
    statement_reads,
    verilog,
)

#: Flags in one word.
WORD_BITS = 32
PART_BITS = 8
#: A register of more bits is not compared with what it was: to be written is to be changed.
NARROW_BITS = 64
_NEXT, _SEEN, _LATE, _OLD, _TWIN = "__next", "__seen", "__late", "__old", "__twin"
_RESET = CLOCK[1]
#: What is true where nothing happens: of logic, and of registers as the reset leaves them.
_AT_REST = re.compile(r" = ~ |\|")
_SET_BY_RESET = re.compile(r" <= 1'h1;$")
_TEST = re.compile(r"if \((\((?:0x)?[0-9a-f]+U & vlSelfRef\.\w+__DOT__(?:flags|held)_\d+\))\) \{")
_CHOSEN = re.compile(r"\[[^\]]*[A-Za-z_$\\]")
#: So many values are watched rather than evaluating what reads them.
FEW = 8


class Gated:
    """Writes a design as one process whose parts wait for flags.

    Parameters
    ----------
    sunk: the design, its logic assigned to blocks.

    Raises
    ------
    NotUnderstood: a register that several processes set, memories that wait for each other, a name that is taken.
    """

    def __init__(self, sunk: Sunk):
        self._sunk = sunk
        self._outer, inner, self._processes, copies = apart(sunk)
        self._declared = sunk.flat.declarations | copies
        outside = {name for node in self._outer for name in node.sets}
        loads = blocks(inner, self._processes)
        kept = set().union(*(unit.reads for unit in loads))
        self.logic, clocked = clusters(inner, self._processes, kept)
        self.loads, self._late = behind_readers(
            [*clocked, *loads], lambda unit: unit.registers, lambda unit: unit.reads, self._cost
        )
        self._refuse(self._late)
        self.logic = together(self.logic, lambda unit: unit.nets, lambda unit: unit.reads)
        self.loads = together(self.loads[::-1], lambda unit: unit.registers - self._late, lambda unit: unit.reads)[::-1]
        self._holders = [unit for unit in self.loads if unit.registers & self._late]
        self._resting = {name for node in inner for name in node.sets if _AT_REST.search(" ".join(node.lines))}
        self._resting |= {name for p in self._processes if any(map(_SET_BY_RESET.search, p.reset)) for name in p.sets}
        self._number()
        units = (*self.logic, *self.loads)
        read = set().union(*(unit.reads for unit in units)) | {_RESET}
        brought = outside | {name for name, declared in self._declared.items() if declared.port == "input"}
        self._seen = {name: f"{name}{_SEEN}" for name in sorted(read & brought)}
        self._stored = set().union(*(unit.nets for unit in self.logic)) & read
        self._unstored = {name for unit in units for name in unit.nets} - self._stored
        self._new: dict[str, Declaration] = {}
        self._tasks: list[Statement] = []

    def _cost(self, name: str) -> int:
        declared = self._declared[name]
        return NEVER if declared.depth else declared.bits

    def _refuse(self, circle: set[str]) -> None:
        if memories := sorted(name for name in circle if self._declared[name].depth):
            raise NotUnderstood(f"memories are read and written in a circle: {', '.join(memories)}")
        setters = Counter(name for process in self._processes for name in process.sets)
        if several := sorted(n for n, count in setters.items() if count > 1 and not self._declared[n].depth):
            raise NotUnderstood(f"set by several processes: {', '.join(several)}")

    def _number(self) -> None:
        flag = 0
        for units in (self.logic, self.loads):
            for unit in units:
                unit.flag = flag
                flag += 1
            flag = -(-flag // WORD_BITS) * WORD_BITS
        self._words = flag // WORD_BITS
        writers = Counter(name for unit in self.loads for name in unit.registers)
        self._shared = {name for name, count in writers.items() if count > 1}
        self._raised: dict[str, set[int]] = defaultdict(set)
        for unit in (*self.logic, *self.loads):
            for name in [unit.condition] if self._stays(unit) else unit.reads:
                self._raised[name].add(unit.flag)

    def _stays(self, unit: Unit) -> bool:
        """Whether a unit is evaluated in every cycle in which its condition holds.

        Most conditions hold for a cycle at a time. Such as are true at rest are those of something ready, not stuck.
        """
        return bool(unit.condition) and unit.condition not in self._resting and len(unit.reads) > FEW

    def flat(self) -> Flat:
        """The design in its new form."""
        body = []
        shown = {name: node.block.removeprefix(PORT) for node in self._outer if node.block for name in node.sets}
        for name, seen in self._seen.items():
            self._new[seen] = replace(self._declared[name], kind="reg", port="", initial="")
            one, other = written(name), written(seen)
            # What a port shows changes only while it is valid.
            test = written(shown[name]) if name in shown else f"{one} != {other}"
            body += [f"if ({test}) begin", f"{other} = {one};", *self._marks([name]), "end"]
        for units in (self.logic, self.loads):
            body += self._in_words(units)
        body += self._held_back()
        body += [f"if ({written(self._seen[_RESET])}) begin"]
        body += [_blocking(line, {}) for process in self._processes for line in process.reset]
        body += [f"{_word(number)} = {WORD_BITS}'hffffffff;" for number in range(self._words)] + ["end"]
        for number in range(self._words):
            self._new[_word(number)] = Declaration("reg", f"[{WORD_BITS - 1}:0] ", initial=f" = {WORD_BITS}'hffffffff")
        return self._design(body)

    def _held_back(self) -> list[str]:
        """Takes over the registers that are read behind where their processes stand."""
        parts = []
        for number, unit in enumerate(self._holders):
            lines = self._committed(sorted(unit.registers & self._late))
            parts.append((number, [f"if ({_held(number // WORD_BITS)}[{number % WORD_BITS}]) begin", *lines, "end"]))
        body = _under_words(parts, _held)
        for number in range(-(-len(self._holders) // WORD_BITS)):
            self._new[_held(number)] = Declaration("reg", f"[{WORD_BITS - 1}:0] ", initial=f" = {WORD_BITS}'h00000000")
            body.append(f"{_held(number)} = {WORD_BITS}'h00000000;")
        return body

    def _design(self, body: list[str]) -> Flat:
        if taken := sorted(self._new.keys() & self._declared.keys() - self._unstored):
            raise NotUnderstood(f"a name is taken: {', '.join(taken)}")
        outer = rebuild(self._sunk.flat, self._outer)
        declarations = dict(outer.declarations)
        inside = {name for s in (*self._tasks, Statement("clocked", tuple(body))) for name in names(" ".join(s.lines))}
        inside -= self._unstored
        for name, declared in self._declared.items():
            if name in inside and name not in declarations:
                declarations[name] = replace(declared, kind="reg") if name in self._stored else declared
        declarations |= self._new
        return Flat(outer.ports, declarations, [*outer.statements, *self._tasks, Statement("clocked", tuple(body))])

    def _marks(self, changed: Iterable[str]) -> list[str]:
        """Raises the flags of all that reads what changed."""
        masks: dict[int, int] = defaultdict(int)
        for name in changed:
            for flag in self._raised[name]:
                masks[flag // WORD_BITS] |= 1 << flag % WORD_BITS
        return [f"{_word(k)} = {_word(k)} | {WORD_BITS}'h{mask:08x};" for k, mask in sorted(masks.items())]

    def _in_words(self, units: list[Unit]) -> list[str]:
        return _under_words([(unit.flag, self._unit(unit)) for unit in units], _word)

    def _unit(self, unit: Unit) -> list[str]:
        word, bit = _word(unit.flag // WORD_BITS), unit.flag % WORD_BITS
        keep = (1 << WORD_BITS) - 1 ^ 1 << bit
        lowered = f"{word} = {word} & {WORD_BITS}'h{keep:08x};"
        local: list[str] = []
        lines: list[str] = []
        compared: list[str] = []
        for name in sorted(unit.nets):
            if name not in self._stored:
                local += self._local(name, name)
            elif self._raised[name]:
                local += self._local(name, f"{name}{_OLD}")
                compared.append(name)
                lines.append(f"{written(f'{name}{_OLD}')} = {written(name)};")
        lines += [rename(line, self._seen) for node in unit.nodes for line in node.lines]
        lines += self._changed({name: f"{name}{_OLD}" for name in compared})
        lines += self._loaded(unit, local)
        if unit.registers & self._shared:  # what it wrote may have been written over
            lowered = ";"
        name = f"unit_{unit.flag}"
        self._tasks.append(Statement("task", (f"{name};", *local, "begin", *lines, "end")))
        if not unit.condition:
            return [f"if ({word}[{bit}]) begin", lowered, f"{name}();", "end"]
        condition = written(self._seen.get(unit.condition, unit.condition))
        if self._stays(unit):
            return [f"if ({word}[{bit}]) begin", f"if ({condition}) {name}();", f"else {lowered}", "end"]
        return [f"if ({word}[{bit}]) begin", lowered, f"if ({condition}) {name}();", "end"]

    def _local(self, like: str, name: str) -> list[str]:
        """Declares a variable of a task; wide ones outside of it, because each call would set them to 0."""
        declared = self._declared[like]
        if name != like and name in self._declared:
            raise NotUnderstood(f"a name is taken: {name}")
        if declared.bits > NARROW_BITS:
            self._new[name] = Declaration("reg", declared.width)
            return []
        return [f"reg {declared.width}{written(name)};"]

    def _changed(self, pairs: dict[str, str]) -> list[str]:
        """Raises what reads the first name of a pair where it differs from the second."""
        together: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, other in pairs.items():
            if marks := self._marks([name]):
                together[tuple(marks)].append(f"({written(name)} != {written(other)})")
        return [
            line for marks, tests in together.items() for line in (f"if ({' | '.join(tests)}) begin", *marks, "end")
        ]

    def _committed(self, registers: Iterable[str]) -> list[str]:
        """Takes over the next values of registers that were kept beside them."""
        pairs = {name: f"{name}{_LATE if name in self._late else _NEXT}" for name in registers}
        lines = self._changed(pairs)
        return lines + [f"{written(name)} = {written(other)};" for name, other in pairs.items()]

    def _loaded(self, unit: Unit, local: list[str]) -> list[str]:
        """The processes of a unit; the next values of most registers stand beside them until all are known."""
        direct = {name for process in unit.processes for name in process.sets if self._is_direct(name, process)}
        order, circle = behind_readers(
            unit.processes, lambda p: p.sets & direct, lambda p: p.reads, lambda name: self._cost(name)
        )
        self._refuse(circle)
        direct -= circle
        lines: list[str] = []
        for process in order:
            aside = {name: f"{name}{_LATE if name in self._late else _NEXT}" for name in sorted(process.sets - direct)}
            for name, other in aside.items():
                if not _is_whole(process.lines[0], name):
                    lines.append(f"{written(other)} = {written(name)};")
                if name in self._late:
                    self._new[other] = replace(self._declared[name], kind="reg", port="", initial="")
                else:
                    local += self._local(name, other)
            for line in process.lines:
                line = rename(line, self._seen)
                marks = self._marks(statement_reads(line.strip())[0] & direct) if "<=" in line else []
                line = _blocking(line, aside)
                lines.append(" ".join(["begin", line.strip(), *marks, "end"]) if marks else line)
        if unit.registers & self._late:
            number = self._holders.index(unit)
            word = _held(number // WORD_BITS)
            lines.append(f"{word} = {word} | {WORD_BITS}'h{1 << number % WORD_BITS:08x};")
        return lines + self._committed(sorted(unit.registers - direct - self._late))

    def _is_direct(self, name: str, process: Process) -> bool:
        """Whether a register or memory may be set where its process stands."""
        declared = self._declared[name]
        if declared.depth:
            return True
        if declared.bits <= NARROW_BITS or name in self._late:
            return False
        settings = sum(name in statement_reads(line.strip())[0] for line in process.lines)
        return settings == 1 or name not in process.reads


def _word(number: int) -> str:
    return f"flags_{number}"


def _held(number: int) -> str:
    return f"held_{number}"


def _under_words(parts: list[tuple[int, list[str]]], word: Callable[[int], str]) -> list[str]:
    """Lines for flags, behind a look at the word of flags that they are in, and at the part of it."""
    lines: list[str] = []
    for number, inside in groupby(parts, lambda part: part[0] // WORD_BITS):
        lines.append(f"if (| {word(number)}) begin")
        for low, group in groupby(inside, lambda part: part[0] % WORD_BITS // PART_BITS * PART_BITS):
            lines += [f"if (| {word(number)}[{low + PART_BITS - 1}:{low}]) begin"]
            lines += [line for _, part in group for line in part] + ["end"]
        lines.append("end")
    return lines


def _is_whole(line: str, name: str) -> bool:
    match = ASSIGNMENT.match(line)
    return match is not None and not line.startswith((" ", "if")) and match.group(1).strip() == written(name).strip()


def _blocking(line: str, aside: dict[str, str]) -> str:
    """A line of a clocked process as one of a procedure that sets other names."""
    indent = line[: len(line) - len(line.lstrip())]
    match = ASSIGNMENT.match(line.strip())
    if match is None or match.group(2) != "<=" or line.strip().startswith(("if ", "end ", "casez ")):
        return line
    left, _, right = match.groups()
    if left.startswith("{"):
        if _CHOSEN.search(left):
            raise NotUnderstood(f"parts that are set are chosen by a net: {line.strip()}")
        left = rename(left, aside)
    else:
        first = next(names(left))
        left = written(aside[first]) + left.removeprefix(written(first)) if first in aside else left
    return f"{indent}{left} = {right};"


def cone(nodes: list[Node], seeds: set[str]) -> set[str]:
    """Names of the logic that `seeds` depend on."""
    setter = {name: node for node in nodes for name in node.sets}
    found: set[str] = set()
    left = list(seeds)
    while left:
        node = setter.get(left.pop())
        if node is not None and not node.sets <= found:
            found |= node.sets
            left += node.reads
    return found


def apart(sunk: Sunk) -> tuple[list[Node], list[Node], list[Process], dict[str, Declaration]]:
    """The logic of outputs, the logic of registers, the processes, and declarations for what is in both.

    What is in both is computed twice, under another name for the registers; what a port shows only while it is valid is
    read by both.
    """
    outputs = {name for name, declared in sunk.flat.declarations.items() if declared.port == "output"}
    shown = cone(sunk.nodes, outputs)
    inner = [node for node in sunk.nodes if not node.sets & shown]
    free = [node for node in sunk.nodes if node.sets & shown and node.block is None]
    read = set().union(*(n.reads for n in inner), *(p.reads for p in sunk.processes))
    both = cone(free, read | {p.block for p in sunk.processes if p.block} | {n.block for n in inner if n.block})
    copies = {name: f"{name}{_TWIN}" for name in sorted(both)}

    def twin(node: Node) -> Node:
        lines = [rename(line, copies) for line in node.lines]
        sets, reads = ({copies.get(name, name) for name in found} for found in (node.sets, node.reads))
        return Node(sets, reads, lines, copies.get(node.block or "", node.block))

    def renamed(process: Process) -> Process:
        lines, reset = (
            [rename(line, copies) for line in process.lines],
            [rename(line, copies) for line in process.reset],
        )
        reads = {copies.get(name, name) for name in process.reads}
        return Process(lines, reset, reads, process.whole, copies.get(process.block or "", process.block), process.sets)

    inside = [twin(node) for node in sunk.nodes if node.sets & both or not node.sets & shown]
    outer = [Node(node.sets, node.reads, node.lines, node.block) for node in sunk.nodes if node.sets & shown]
    users: dict[str, set[str | None]] = defaultdict(set)
    for node in reversed(outer):
        blocks_of = set().union(*(users[name] for name in node.sets))
        if node.block is None and not node.sets & outputs and len(blocks_of) == 1:
            (node.block,) = blocks_of
        for name in node.reads | ({node.block.removeprefix(PORT)} if node.block else set()):
            users[name].add(node.block if name in node.reads else None)
    declared = {other: replace(sunk.flat.declarations[name], port="") for name, other in copies.items()}
    return outer, inside, [renamed(process) for process in sunk.processes], declared


def hinted(text: str) -> str:
    """C++ that Verilator made of a gated design, with what waits for a flag marked as rarely done.

    The compiler then puts it aside, and the tests of flags stand side by side.
    """
    return _TEST.sub(r"if (VL_UNLIKELY(\1)) {", text)


def gated(text: str, top: str) -> str:
    """Verilog of the design `top` of `text` as one module that computes little in a cycle in which little happens.

    Every register, memory and port has the value that it had in each cycle, but for records of outputs that are not
    valid (`sinking.records`).

    Raises
    ------
    NotUnderstood: Verilog of another form than Yosys writes, or a design that this cannot order.
    """
    flat, _ = masked(flatten(text, top))
    flat, _ = narrowed(flat)
    return verilog(Gated(assigned(flat, records(flat))).flat(), top)

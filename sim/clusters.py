"""Puts combinational logic and registers of a flat design into clusters that are evaluated together.

Where a value comes from decides: what depends on the same registers changes in the same cycles. Registers that load
behind one condition count as one source, every other register is a source of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from tickgate.sim.flatten import SEPARATOR
from tickgate.sim.sinking import Node, Process

#: Clusters are one where they share so much of what they read.
ALIKE = 0.3
#: What it costs to break an order that must not be broken.
NEVER = 1 << 40

T = TypeVar("T")


@dataclass(eq=False)
class Unit:
    """What is evaluated together: logic in its order, then the processes that set registers.

    Members
    -------
    condition: behind which all of it stands; empty for a cluster, which waits for its flag only.
    flag: its number.
    """

    nodes: list[Node] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    condition: str = ""
    flag: int = -1

    @property
    def stage(self) -> str:
        """The submodules in which most of what it sets is, two levels deep."""
        places = Counter(SEPARATOR.join(name.split(SEPARATOR)[:-1][:2]) for name in self.nets | self.registers)
        return max(places, key=lambda name: (places[name], name))

    @property
    def nets(self) -> set[str]:
        """What its logic sets."""
        return set().union(*(node.sets for node in self.nodes))

    @property
    def registers(self) -> set[str]:
        """What its processes set, memories included."""
        return set().union(*(process.sets for process in self.processes))

    @property
    def reads(self) -> set[str]:
        """What it takes from outside, or from its own registers."""
        found = set().union(*(node.reads for node in self.nodes), *(process.reads for process in self.processes))
        return (found | {self.condition} if self.condition else found) - self.nets


def sources(nodes: list[Node], processes: list[Process]) -> dict[str, frozenset[str]]:
    """For each net the sources that it depends on; what no process sets is a source of its own."""
    of: dict[str, frozenset[str]] = {}
    for process in processes:
        for name in process.sets:
            of[name] = frozenset({process.block or min(process.sets)})
    for node in nodes:
        found = frozenset().union(*(of.get(name, frozenset({name})) for name in node.reads))
        for name in node.sets:
            of[name] = found
    return of


def blocks(nodes: list[Node], processes: list[Process]) -> list[Unit]:
    """What loads behind a condition, a unit a condition."""
    found: dict[str, Unit] = {}
    for process in processes:
        if process.block is not None:
            found.setdefault(process.block, Unit(condition=process.block)).processes.append(process)
    for node in nodes:
        if node.block in found:
            found[node.block].nodes.append(node)
    return list(found.values())


def clusters(nodes: list[Node], processes: list[Process], kept: set[str]) -> tuple[list[Unit], list[Unit]]:
    """Clusters of logic, each behind those that it reads, and clusters of registers with the logic that only they read.

    Parameters
    ----------
    nodes: in order; those in blocks are left alone. kept: nets that are read elsewhere.
    """
    of = sources(nodes, processes)
    free = [node for node in nodes if node.block is None]
    clocked: dict[frozenset[str], Unit] = {}
    users: dict[str, list[Unit]] = defaultdict(list)
    for process in processes:
        if process.block is None:
            key = frozenset().union(*(of.get(name, frozenset({name})) for name in process.reads))
            unit = clocked.setdefault(key, Unit())
            unit.processes.append(process)
            for name in process.reads:
                users[name].append(unit)
    logic: dict[frozenset[str], Unit] = {}
    for node in reversed(free):
        readers = {id(unit): unit for name in node.sets for unit in users[name]}
        alone = len(readers) == 1 and not node.sets & kept
        home = next(iter(readers.values())) if alone else logic.setdefault(of[min(node.sets)], Unit())
        home.nodes.append(node)
        for name in node.reads:
            users[name].append(home)
    for unit in (*logic.values(), *clocked.values()):
        unit.nodes.reverse()
    return list(logic.values()), _alike(list(clocked.values()))


def _alike(units: list[Unit]) -> list[Unit]:
    """Clusters of registers, those of one stage that read mostly the same made one: they change in the same cycles."""
    found: list[tuple[Unit, str, set[str]]] = []
    for unit in units:
        stage, reads = unit.stage, unit.reads
        for at, (other, where, theirs) in enumerate(found):
            if where == stage and len(reads & theirs) >= ALIKE * len(reads | theirs):
                other.nodes += unit.nodes
                other.processes += unit.processes
                found[at] = other, where, theirs | reads
                break
        else:
            found.append((unit, stage, reads))
    return [unit for unit, _, _ in found]


def together(units: list[Unit], sets: Callable[[Unit], set[str]], reads: Callable[[Unit], set[str]]) -> list[Unit]:
    """Units, each behind those that set what it reads, those of one stage together as far as that allows.

    Raises
    ------
    ValueError: there is no such order.
    """
    setter = {name: id(unit) for unit in units for name in sets(unit)}
    waits = {id(unit): {setter[n] for n in reads(unit) if n in setter} - {id(unit)} for unit in units}
    users: dict[int, list[Unit]] = defaultdict(list)
    for unit in units:
        for before in waits[id(unit)]:
            users[before].append(unit)
    ready: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        if not waits[id(unit)]:
            ready[unit.stage].append(unit)
    order: list[Unit] = []
    stage = ""
    while ready:
        if stage not in ready:
            stage = max(ready, key=lambda name: (len(ready[name]), name))
        unit = ready[stage].pop()
        order.append(unit)
        for user in users[id(unit)]:
            waits[id(user)].discard(id(unit))
            if not waits[id(user)]:
                ready[user.stage].append(user)
        if not ready[stage]:
            del ready[stage]
    if len(order) < len(units):
        raise ValueError("units read each other in a circle")
    return order


def behind_readers(
    items: Iterable[T], sets: Callable[[T], set[str]], reads: Callable[[T], set[str]], cost: Callable[[str], int]
) -> tuple[list[T], set[str]]:
    """Items in an order in which each stands behind those that read what it sets, and names for which there is none.

    Of those that stand in each other's way the one comes first whose names cost least.
    """
    left = list(items)
    written_by = {id(item): sets(item) for item in left}
    read_by: dict[str, set[int]] = defaultdict(set)
    for item in left:
        for name in reads(item):
            read_by[name].add(id(item))
    order: list[T] = []
    broken: set[str] = set()
    while left:
        best, price, names_broken = left[0], NEVER * len(left) * 64, set[str]()
        for item in left:
            waiting = {n for n in written_by[id(item)] if n not in broken and read_by[n] - {id(item)}}
            total = sum(cost(name) for name in waiting)
            if total < price:
                best, price, names_broken = item, total, waiting
            if not total:
                break
        broken |= names_broken
        order.append(best)
        left.remove(best)
        for readers in read_by.values():
            readers.discard(id(best))
    return order, broken

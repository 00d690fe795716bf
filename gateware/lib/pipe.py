"""Values that travel with their transaction through the stages of a free-running pipeline, and multiplication in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.memory import Memory

#: Rows of the memories in which values are carried: what distributed memory has anyway.
_CARRIED_ROWS = 16


@dataclass
class _Travel:
    """A value on its way: its signal in each stage from `first` on; and where it goes on behind a memory."""

    first: int
    chain: list[Signal]
    when: str | None
    ahead: str | None
    reset: bool
    rests: int
    until: int
    """The last stage in which the newest signal is still right."""
    behind: "_Travel | None" = None


class Pipe:
    """Named values of a pipeline that never stalls; registers are made where a value is asked for.

    Stage 0 is the cycle in which a transaction enters, stage n the n-th cycle after it. A value is put in once, at the
    stage in which it is computed; asking for it at a later stage delays it by registers, asking at an earlier one is a
    mistake. Values carry no reset unless they are put with `reset=True` (valid bits).

    Where a transaction is not, a register that carries only its values has nothing to load: values move on in those
    cycles only in which `valid`, a value of the pipeline itself, is 1 in their stage. So a stage does not toggle, nor
    does a simulator compute it, in idle cycles. Such a value may be used only where the transaction is valid; one that
    must be right in every cycle (a pulse, what a sweep writes) is put with `always=True`, and a value with `reset=True`
    always moves.

    So a register keeps its value until the next transaction comes to its stage. Where transactions are at least two
    cycles apart, it is as good as the one behind it, which is then left out: a value that `rests` for n cycles has a
    register in every n-th stage only. A value that nothing asks for on a long way may be carried in distributed memory.

    The registers, in the domain `sync`, stand in a submodule of their own, so that a value may be asked for inside an
    `If` or `Case` of the user.

    Parameters
    ----------
    m: module that the pipeline belongs to.
    name: of its submodule.
    valid: name of the 1-bit value under which values move on; it must have been put in, with `reset=True`, before the
        first of them is asked for at a later stage. Without a name they move in every cycle.
    rests: cycles that lie at least between two transactions, 1 or more: values rest as long. More than 1 needs `valid`.
    """

    def __init__(self, m: Module, name: str = "pipe", *, valid: str | None = None, rests: int = 1):
        self.m = Module()
        self._valid, self._rests = valid, rests
        m.submodules[name] = self.m
        self._values: dict[str, _Travel] = {}
        self._rows: dict[str, list[Value]] = {}

    def put(
        self,
        name: str,
        value,
        stage: int,
        *,
        reset: bool = False,
        always: bool = False,
        when: str | None = None,
        ahead: str | None = None,
        rests: int | None = None,
    ) -> Signal:
        """Name `value`, computed in `stage` from values of that stage; returns it as a signal.

        Parameters
        ----------
        reset: its registers have a reset.
        always: it moves on in every cycle.
        when: it moves on under another value than `valid`.
        ahead: its first register loads under this value, which is 1 wherever `valid` is and known sooner.
        rests: cycles that lie at least between two transactions that have this value; by default the pipeline's.

        Raises
        ------
        ValueError: the name is taken.
        """
        if name in self._values:
            raise ValueError(f"the pipeline already has a value {name!r}")
        cast = Value.cast(value)
        signal = Signal(cast.shape(), name=f"{name}_{stage}")
        self.m.d.comb += signal.eq(cast)
        moves = None if reset or always else when or self._valid
        rests = (self._rests if rests is None else rests) if moves is not None and moves == self._valid else 1
        self._values[name] = _Travel(stage, [signal], moves, ahead, reset, rests, stage)
        return signal

    def get(self, name: str, stage: int) -> Signal:
        """The value in `stage`.

        Raises
        ------
        KeyError: no such value.
        ValueError: `stage` is before the one that computes it.
        """
        value = self._travel(name, stage)
        if stage < value.first:
            raise ValueError(f"{name!r} is computed in stage {value.first}, not yet known in stage {stage}")
        while value.first + len(value.chain) <= stage:
            at, last = value.first + len(value.chain), value.chain[-1]
            if at > value.until:
                first = len(value.chain) == 1 and value.ahead is not None
                when = value.ahead if first else value.when
                delayed = Signal(last.shape(), name=f"{name}_{at}", reset_less=not value.reset)
                if when is None:
                    self.m.d.sync += delayed.eq(last)
                else:
                    with self.m.If(self.get(when, at - 1)):
                        self.m.d.sync += delayed.eq(last)
                # The next transaction may load what it knows ahead before it is there.
                value.until = at if first else at + value.rests - 1
                last = delayed
            value.chain.append(last)
        return value.chain[stage - value.first]

    def _travel(self, name: str, stage: int) -> _Travel:
        value = self._values[name]
        while value.behind is not None and stage >= value.behind.first:
            value = value.behind
        return value

    def carry(self, names: Sequence[str], since: int, to: int) -> None:
        """Takes values from stage `since` to stage `to` in one distributed memory instead of registers.

        It holds one row a transaction, written in `since` and read in front of the registers of `to`. A bit takes a
        LUT and a half of an ECP5, and spares the registers between; a value that is asked for there has them as well.

        Parameters
        ----------
        names: values that move on under `valid`.
        to: two stages or more after `since`, at most 16.

        Raises
        ------
        KeyError: no such value.
        ValueError: the way is too short or too long, or a value does not move under `valid`, or there is none.
        """
        if not 2 <= to - since <= _CARRIED_ROWS:
            raise ValueError(f"a value is carried over 2 to {_CARRIED_ROWS} stages, not {to - since}")
        valid = self._valid
        if valid is None:
            raise ValueError("a pipeline without a valid carries nothing")
        before = [self.get(name, since) for name in names]
        for name in names:
            if self._travel(name, since).when != valid:
                raise ValueError(f"{name!r} does not move with its transaction")
        memory = Memory(shape=sum(len(signal) for signal in before), depth=_CARRIED_ROWS, init=[])
        self.m.submodules[f"{names[0]}_{since}_to_{to}"] = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        put, take = Signal(range(_CARRIED_ROWS)), Signal(range(_CARRIED_ROWS))
        behind = [Signal(signal.shape(), name=f"{name}_{to}", reset_less=True)
                  for name, signal in zip(names, before, strict=True)]  # fmt: skip
        enters, leaves = self.get(valid, since), self.get(valid, to - 1)
        self.m.d.comb += [
            write.addr.eq(put),
            write.data.eq(Cat(before)),
            write.en.eq(enters),
            read.addr.eq(take),
        ]
        with self.m.If(enters):
            self.m.d.sync += put.eq(put + 1)
        with self.m.If(leaves):
            self.m.d.sync += [take.eq(take + 1), Cat(behind).eq(read.data)]
        for name, signal in zip(names, behind, strict=True):
            value = self._travel(name, since)
            value.behind = replace(value, first=to, chain=[signal], ahead=None, until=to + value.rests - 1)

    def multiply(
        self, name: str, a, b, stage: int, *, keep: int | None = None, chunk: int = 16, rests: int | None = None
    ) -> Signal:
        """The unsigned product of `a` and `b` of `stage`, put in as `name` in the stage after it.

        Parameters
        ----------
        keep: how many low bits of the product are wanted; by default it has its full width.
        chunk: bits of the operands of one hardware multiplier, 2 to 18.
        rests: as in `put`.
        """
        a, b = Value.cast(a), Value.cast(b)
        keep = len(a) + len(b) if keep is None else keep
        parts = []
        for i in range(0, len(a), chunk):
            for j in range(0, len(b), chunk):
                if i + j >= keep:
                    continue
                part = self.put(f"{name}_{i}_{j}", a[i : i + chunk] * b[j : j + chunk], stage)
                parts.append((i + j, len(part), self.get(f"{name}_{i}_{j}", stage + 1)))
        # Products that do not overlap share one operand of the sum.
        rows: list[list] = []
        ends: list[int] = []
        for shift, bits, part in sorted(parts, key=lambda p: (p[0], -p[1])):
            for n, end in enumerate(ends):
                if end <= shift:
                    rows[n] += [Const(0, shift - end), part]
                    ends[n] = shift + bits
                    break
            else:
                rows.append([Const(0, shift), part])
                ends.append(shift + bits)
        self._rows[name] = words = [Cat(*row) for row in rows]
        return self.put(name, sum(words[1:], start=words[0])[:keep], stage + 1, rests=rests)

    def rows(self, name: str) -> Sequence[Value]:
        """The words whose sum is the product `name`, but for what `keep` leaves out; of the stage that has put it.

        Raises
        ------
        KeyError: no such product.
        """
        return self._rows[name]


class Scope:
    """A pipeline as one of its users sees it: values of its own under its own name, and the common ones.

    Parameters
    ----------
    pipe: the pipeline.
    name: in front of the user's own values.
    faults: planted faults of the component, for the tests of the tests.
    """

    def __init__(self, pipe: Pipe, name: str, faults: frozenset[str] = frozenset()):
        self._pipe, self._name = pipe, name
        self.faults = faults

    def common(self, name: str, stage: int) -> Signal:
        """A value of the pipeline that all users share."""
        return self._pipe.get(name, stage)

    def put(self, name: str, value, stage: int) -> Signal:
        """Keep a value of `stage` for later stages."""
        return self._pipe.put(f"{self._name}_{name}", value, stage)

    def get(self, name: str, stage: int) -> Signal:
        """A value that was put, in this or a later stage."""
        return self._pipe.get(f"{self._name}_{name}", stage)

    def multiply(self, name: str, a, b, stage: int, *, keep: int | None = None, chunk: int = 16) -> Signal:
        """The unsigned product of two values of `stage`, put as `name` in the stage after it."""
        return self._pipe.multiply(f"{self._name}_{name}", a, b, stage, keep=keep, chunk=chunk)

    def rows(self, name: str) -> Sequence[Value]:
        """The words whose sum is one of the user's products; see `Pipe.rows`."""
        return self._pipe.rows(f"{self._name}_{name}")

    def common_rows(self, name: str) -> Sequence[Value]:
        """The words whose sum is a product that all users share."""
        return self._pipe.rows(name)

"""Values that travel with their transaction through the stages of a free-running pipeline, and multiplication in it."""

from amaranth.hdl import Cat, Const, Module, Signal, Value


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

    The registers, in the domain `sync`, stand in a submodule of their own, so that a value may be asked for inside an
    `If` or `Case` of the user.

    Parameters
    ----------
    m: module that the pipeline belongs to.
    name: of its submodule.
    valid: name of the 1-bit value under which values move on; it must have been put in, with `reset=True`, before the
        first of them is asked for at a later stage. Without a name they move in every cycle.
    """

    def __init__(self, m: Module, name: str = "pipe", *, valid: str | None = None):
        self.m = Module()
        self._valid = valid
        m.submodules[name] = self.m
        self._stages: dict[str, list[Signal]] = {}
        self._first: dict[str, int] = {}
        self._reset: dict[str, bool] = {}
        self._when: dict[str, str | None] = {}

    def put(
        self, name: str, value, stage: int, *, reset: bool = False, always: bool = False, when: str | None = None
    ) -> Signal:
        """Name `value`, computed in `stage` from values of that stage; returns it as a signal.

        Parameters
        ----------
        reset: its registers have a reset.
        always: it moves on in every cycle.
        when: it moves on under another value than `valid`.

        Raises
        ------
        ValueError: the name is taken.
        """
        if name in self._stages:
            raise ValueError(f"the pipeline already has a value {name!r}")
        cast = Value.cast(value)
        signal = Signal(cast.shape(), name=f"{name}_{stage}")
        self.m.d.comb += signal.eq(cast)
        self._stages[name] = [signal]
        self._first[name] = stage
        self._reset[name] = reset
        self._when[name] = None if reset or always else when or self._valid
        return signal

    def get(self, name: str, stage: int) -> Signal:
        """The value in `stage`.

        Raises
        ------
        KeyError: no such value.
        ValueError: `stage` is before the one that computes it.
        """
        chain, first = self._stages[name], self._first[name]
        if stage < first:
            raise ValueError(f"{name!r} is computed in stage {first}, not yet known in stage {stage}")
        while first + len(chain) <= stage:
            at = first + len(chain)
            delayed = Signal(chain[0].shape(), name=f"{name}_{at}", reset_less=not self._reset[name])
            when = self._when[name]
            if when is None:
                self.m.d.sync += delayed.eq(chain[-1])
            else:
                with self.m.If(self.get(when, at - 1)):
                    self.m.d.sync += delayed.eq(chain[-1])
            chain.append(delayed)
        return chain[stage - first]

    def multiply(self, name: str, a, b, stage: int, *, keep: int | None = None, chunk: int = 16) -> Signal:
        """The unsigned product of `a` and `b` of `stage`, put in as `name` in the stage after it.

        Parameters
        ----------
        keep: how many low bits of the product are wanted; by default it has its full width.
        chunk: bits of the operands of one hardware multiplier, 2 to 18.
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
        total = sum((Cat(*row) for row in rows[1:]), start=Cat(*rows[0]))
        return self.put(name, total[:keep], stage + 1)


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

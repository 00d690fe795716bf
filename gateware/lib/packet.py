"""Bytes of packets from the tables of `sw.spec`, 64-bit words of bytes, and sums for one's complement checksums."""

from collections.abc import Iterable, Mapping, Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned

from tickgate.sw.spec.fields import Field, Message
from tickgate.sw.spec.units import WORD_BYTES

#: Operands that one registered adder takes: two levels of carry-save logic and one carry chain.
ADDER_OPERANDS = 4


def field_bytes(field: Field, value) -> list[Value]:
    """The bytes of one field, first on the wire first.

    Parameters
    ----------
    value: an integer, bytes, or a value; a narrower value is extended by zeros.

    Raises
    ------
    ValueError: a value that is wider than the field.
    """
    if isinstance(value, (int, bytes)):
        return [Const(byte, 8) for byte in field.to_bytes(value)]
    value = Value.cast(value)
    if len(value) > 8 * field.size:
        raise ValueError(f"field {field.name} has {8 * field.size} bits, not {len(value)}")
    found = []
    for at in reversed(range(0, 8 * field.size, 8)):
        part = value[at : at + 8]
        found.append(Const(0, 8) if not len(part) else Cat(part, Const(0, 8 - len(part))) if len(part) < 8 else part)
    return found


def message_bytes(table: Message, values: Mapping[str, object], *, missing: int | None = None) -> list[Value]:
    """The bytes of the fixed part of a message.

    Parameters
    ----------
    values: by field name, as `field_bytes` takes them.
    missing: value of the bytes of fields that `values` does not name; None allows none to be missing.

    Raises
    ------
    KeyError: a name that the table does not have, or a field without a value.
    """
    for name in values:
        table.field(name)
    found: list[Value] = []
    for field in table.fields:
        if field.name in values:
            found += field_bytes(field, values[field.name])
        elif missing is None:
            raise KeyError(f"{table.name}: field {field.name} has no value")
        else:
            found += [Const(missing, 8)] * field.size
    return found


def words(parts: Sequence[Value]) -> list[Value]:
    """64-bit words of a run of bytes, first byte in the lowest bits, the last word filled up with zeros."""
    short = -len(parts) % WORD_BYTES
    filled = [*parts, *[Const(0, 8)] * short]
    return [Cat(*filled[at : at + WORD_BYTES]) for at in range(0, len(filled), WORD_BYTES)]


def checksum_terms(parts: Sequence[Value]) -> tuple[list[Value], int]:
    """The 16-bit words that a checksum sums (RFC 1071): those that vary, and the sum of the constant ones."""
    varying, constant = [], 0
    padded = [*parts, *[Const(0, 8)] * (len(parts) % 2)]
    for high, low in zip(padded[::2], padded[1::2], strict=True):
        if isinstance(high, Const) and isinstance(low, Const):
            constant += high.value << 8 | low.value
        else:
            varying.append(Cat(low, high))
    return varying, constant


def registered_sum(m: Module, terms: Iterable, *, name: str, stages: int | None = None, gate=None) -> tuple[Value, int]:
    """The sum of `terms` through a tree of registered adders, and the number of cycles that it takes.

    Parameters
    ----------
    stages: pads the tree to this many cycles.
    gate: where given, the sum is that of nothing a cycle after it was 0. It has to reach the last adder only.

    Raises
    ------
    ValueError: the tree needs more than `stages` cycles.
    """
    level, depth = [Value.cast(t) for t in terms], 0
    while len(level) > 1 or depth == 0 or (stages is not None and depth < stages):
        below, level = level, []
        for number, at in enumerate(range(0, len(below), ADDER_OPERANDS)):
            group = below[at : at + ADDER_OPERANDS]
            top = sum((1 << len(v)) - 1 for v in group)
            total = Signal(unsigned(top.bit_length()), name=f"{name}_{depth}_{number}", reset_less=True)
            added = sum(group[1:], start=group[0])
            m.d.sync += total.eq(added)
            level.append(total)
        depth += 1
    if stages is not None and depth > stages:
        raise ValueError(f"the sum {name} takes {depth} cycles, more than {stages}")
    if gate is not None:
        with m.If(~gate):
            m.d.sync += level[0].eq(0)
    return level[0], depth


def folded(total: Value) -> Value:
    """One end-around step: the low 16 bits plus what stands above them."""
    total = Value.cast(total)
    return total[:16] + total[16:] if len(total) > 16 else total

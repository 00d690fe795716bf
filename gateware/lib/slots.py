"""Bits kept for every slot in flip-flops, so that reset clears them and news about all slots reaches them at once."""

from collections.abc import Callable

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value

from tickgate.sw.spec.state import SymbolState, Validity

#: Before its book has said anything a slot may not be used.
VALIDITY_INIT = Validity.UNSYNCED | Validity.CLEARING
STATE_INIT = SymbolState.NO_STATE


class SlotBits:
    """One register a slot, with a rule that says what becomes of it.

    Parameters
    ----------
    m: module that gets the registers.
    slots: how many, a power of two.
    bits: width of each.
    after: given a slot number and its register's value, the value after this cycle.
    when: where it is 0, `after` leaves every register as it is, and nothing is loaded.
    init: value after reset.
    name: of the signals.
    reset_less: a planted fault: reset leaves them alone.
    """

    def __init__(
        self,
        m: Module,
        slots: int,
        bits: int,
        after: Callable[[object, Value], object],
        *,
        when: Value,
        init: int = 0,
        name: str,
        reset_less: bool = False,
    ):
        self._slot_bits = (slots - 1).bit_length()
        self._after = after
        self._registers = [Signal(bits, init=init, name=f"{name}_{s}", reset_less=reset_less) for s in range(slots)]
        with m.If(when):
            for s, register in enumerate(self._registers):
                m.d.sync += register.eq(after(Const(s, self._slot_bits), register))

    def at(self, slot):
        """The register of a slot: what was known before this cycle."""
        return Array(self._registers)[slot[: self._slot_bits]]

    def after_at(self, slot):
        """The register of a slot with what this cycle changes."""
        # One register is chosen and then changed: quicker than to choose among all changed ones.
        return self._after(slot[: self._slot_bits], self.at(slot))


def exists(select, slots: int) -> Value:
    """Whether a slot number is below `slots`, a power of two; without a comparison's carries."""
    return ~select[(slots - 1).bit_length() :].any()


def is_slot(field, slot):
    """Whether a slot number of an update, whose upper bits are 0, is `slot`."""
    return field[: len(slot)] == slot


def track_validity(m: Module, slots: int, updates, *, keep_other: bool = False) -> SlotBits:
    """Validity of every slot, kept from a stream of `BOOK_UPDATE`; with `keep_other`, a fault, `other_slot` is not."""
    update = updates.payload
    every, one = updates.valid & update.every_slot, updates.valid & ~update.every_slot
    # Neutral masks where the update is not one of every slot, so that they need no choice behind them.
    clear, set_bits = Mux(every, update.every_clear, 0), Mux(every, update.every_set, 0)

    def after(slot, now):
        here = one & is_slot(update.slot, slot)
        spoiled = Const(0) if keep_other else one & update.other & is_slot(update.other_slot, slot)
        kept = now & ~clear | set_bits
        return Mux(here, update.validity, kept) | Mux(spoiled, int(Validity.INCOMPLETE), 0)

    return SlotBits(m, slots, 7, after, when=updates.valid, init=VALIDITY_INIT, name="validity")


def track_state(m: Module, slots: int, updates) -> SlotBits:
    """Trading state of every slot, kept from a stream of `BOOK_UPDATE`."""
    update = updates.payload
    every, one = updates.valid & update.every_slot, updates.valid & ~update.every_slot
    clear, set_bits = Mux(every, update.state_clear, 0), Mux(every, update.state_set, 0)

    def after(slot, now):
        return Mux(one & is_slot(update.slot, slot), update.state, now & ~clear | set_bits)

    return SlotBits(m, slots, 5, after, when=updates.valid, init=STATE_INIT, name="state")


def track_told(m: Module, slots: int, updates) -> SlotBits:
    """Whether a slot's best prices are known: from its first `BOOK_UPDATE` on, until the tables are swept."""
    update = updates.payload
    swept = updates.valid & update.every_slot & (update.every_set & int(Validity.CLEARING)).any()
    one = updates.valid & ~update.every_slot

    def after(slot, now):
        return (now | (one & is_slot(update.slot, slot))) & ~swept

    return SlotBits(m, slots, 1, after, when=updates.valid, name="told")


def keep_row_bits(m: Module, slots: int, bits, commit, select, *, name: str, reset_less: bool = False) -> SlotBits:
    """Bits of a row that reset must clear, taken over with the row of a slot."""
    bits = Value.cast(bits)

    def after(slot, now):
        return Mux(commit & (select == slot), bits, now)

    return SlotBits(m, slots, len(bits), after, when=commit, name=name, reset_less=reset_less)

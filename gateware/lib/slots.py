"""Bits kept for every slot in flip-flops, so that reset clears them and news about all slots reaches them at once."""

from amaranth.hdl import Array, Const, Module, Mux, Signal

from tickgate.sw.spec.state import SymbolState, Validity

#: Before its book has said anything a slot may not be used.
VALIDITY_INIT = Validity.UNSYNCED | Validity.CLEARING
STATE_INIT = SymbolState.NO_STATE


class SlotBits:
    """One register a slot: the value that it holds (`now`) and the one of the next cycle (`next`).

    Whoever makes it assigns `next` where a slot changes; without an assignment it stays.

    Parameters
    ----------
    m: module that gets the registers.
    slots: how many, a power of two.
    bits: width of each.
    init: value after reset.
    name: of the signals.
    reset_less: reset leaves them alone.
    """

    def __init__(self, m: Module, slots: int, bits: int, *, init: int = 0, name: str, reset_less: bool = False):
        self.slot_bits = (slots - 1).bit_length()
        self.now = [Signal(bits, init=init, name=f"{name}_{s}", reset_less=reset_less) for s in range(slots)]
        self.next = [Signal(bits, name=f"{name}_{s}_next") for s in range(slots)]
        for now, next_ in zip(self.now, self.next, strict=True):
            m.d.comb += next_.eq(now)
            m.d.sync += now.eq(next_)

    def at(self, slot):
        """The register of a slot."""
        return Array(self.now)[slot[: self.slot_bits]]

    def next_at(self, slot):
        """What the register of a slot turns into with this cycle's changes."""
        return Array(self.next)[slot[: self.slot_bits]]


def track_validity(m: Module, slots: int, updates, *, keep_other: bool = False) -> SlotBits:
    """Validity of every slot, kept from a stream of `BOOK_UPDATE`; with `keep_other`, a fault, `other_slot` is not."""
    bits = SlotBits(m, slots, 7, init=VALIDITY_INIT, name="validity")
    update = updates.payload
    with m.If(updates.valid):
        for s, (now, next_) in enumerate(zip(bits.now, bits.next, strict=True)):
            kept = Mux(update.every_slot, now & ~update.every_clear | update.every_set, now)
            here = ~update.every_slot & (update.slot == s)
            spoiled = Const(0) if keep_other else ~update.every_slot & update.other & (update.other_slot == s)
            m.d.comb += next_.eq(Mux(here, update.validity, kept) | Mux(spoiled, int(Validity.INCOMPLETE), 0))
    return bits


def track_state(m: Module, slots: int, updates) -> SlotBits:
    """Trading state of every slot, kept from a stream of `BOOK_UPDATE`."""
    bits = SlotBits(m, slots, 5, init=STATE_INIT, name="state")
    update = updates.payload
    with m.If(updates.valid):
        for s, (now, next_) in enumerate(zip(bits.now, bits.next, strict=True)):
            with m.If(update.every_slot):
                m.d.comb += next_.eq(now & ~update.state_clear | update.state_set)
            with m.Elif(update.slot == s):
                m.d.comb += next_.eq(update.state)
    return bits

"""Two senders of host messages in front of the order session."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import elastic
from tickgate.sw.spec.events import FRAME_WORD


class InjectPort(wiring.Component):
    """Gives the port for host messages to one of two senders for a whole message; nothing is registered on the way.

    `second` asks first whether there is room: it raises `claim`, and sees in `free` whether a message would be taken
    whole now. While `claim` is 1 `first` begins none, so what `free` said stays true. Without `claim` it is always the
    turn of `first`.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    first: In(elastic(FRAME_WORD)).
    second: In(elastic(FRAME_WORD)); a message begins where `free` is 1, and `claim` is 1 to its end.
    claim: In(1).
    free: Out(1).
    o: Out(elastic(FRAME_WORD)), to `InjectStore`, which takes a message whole or not at all.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {"claim_breaks_in": "a claim takes the port in the middle of a message of `first`"}

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "first": In(elastic(FRAME_WORD)),
                "second": In(elastic(FRAME_WORD)),
                "claim": In(1),
                "free": Out(1),
                "o": Out(elastic(FRAME_WORD)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        first, second, out = self.first, self.second, self.o
        inside, claimed = Signal(), Signal()  # a message of `first` has begun; it is the turn of `second`
        m.d.comb += claimed.eq(self.claim if "claim_breaks_in" in self._faults else self.claim & ~inside)
        with m.If(first.valid & first.ready):
            m.d.sync += inside.eq(~first.payload.last)
        m.d.comb += [
            self.free.eq(claimed & out.ready),
            out.valid.eq(Mux(claimed, second.valid, first.valid)),
            out.payload.eq(Mux(claimed, second.payload.as_value(), first.payload.as_value())),
            first.ready.eq(out.ready & ~claimed),
            second.ready.eq(out.ready & claimed),
        ]
        return m

"""One direction of a Gigabit Media Independent Interface: a byte a cycle of its 125 MHz clock."""

from amaranth.lib import wiring
from amaranth.lib.wiring import Out


class Gmii(wiring.Signature):
    """Bytes of one direction.

    Members
    -------
    data: Out(8), RXD or TXD.
    valid: Out(1), RX_DV or TX_EN: from the first byte of the preamble to the last one of the FCS.
    error: Out(1), RX_ER or TX_ER.

    References
    ----------
    IEEE 802.3 clause 35.2.
    """

    def __init__(self):
        super().__init__({"data": Out(8), "valid": Out(1), "error": Out(1)})

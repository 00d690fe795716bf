"""Ethernet on the wire, as the stage `mac` sends and takes it: preamble, frame check sequence, verdicts and counters.

Sources: IEEE 802.3 clauses 3 (frame, preamble, FCS), 4.2 (padding, gap, lengths) and 35 (GMII). Sizes count the bytes
of a frame without its FCS unless they say otherwise.
"""

from enum import IntEnum
from typing import Final

from tickgate.sw.spec import net

PREAMBLE_BYTE: Final = 0x55
SFD_BYTE: Final = 0xD5
"""Start of frame delimiter, behind `net.PREAMBLE_BYTES` - 1 bytes of preamble."""
FCS_POLYNOMIAL: Final = 0xEDB88320
"""CRC-32 with its bits in the order of the wire; the register begins with ones and is sent inverted, low byte first."""
FCS_RESIDUE: Final = 0xDEBB20E3
"""What the register holds behind a frame and its right FCS, whatever the frame."""
FRAME_SIZE_MAX: Final = net.FRAME_SIZE_MAX + net.VLAN_SIZE
"""Longest frame that is received: one tag is allowed, whether there is one or not."""


class Verdict(IntEnum):
    """What a received frame is: the first that applies, in the order ERROR, OVERSIZE, RUNT, FCS. All but GOOD leave
    with `error` on the last word."""

    GOOD = 0
    ERROR = 1  # the PHY said RX_ER while the carrier was there, up to where an oversize frame is cut
    RUNT = 2  # fewer than 64 bytes with the FCS; one of 0 to 4 bytes leaves no word at all
    OVERSIZE = 3  # longer than FRAME_SIZE_MAX: cut there, the rest is dropped
    FCS = 4  # the check sequence is wrong


#: Counters of a MAC by name, with what each counts.
COUNTERS: Final = (
    ("mac_rx_good", "received frames without an error"),
    ("mac_rx_error", "received frames with RX_ER"),
    ("mac_rx_runt", "received frames below 64 bytes with their FCS"),
    ("mac_rx_oversize", "received frames longer than a tagged frame may be"),
    ("mac_rx_fcs", "received frames with a wrong FCS"),
    ("mac_rx_no_sfd", "carriers without a start of frame"),
    ("mac_rx_lost", "received frames cut or dropped because the core did not take their words"),
    ("mac_tx_good", "frames sent"),
    ("mac_tx_poisoned", "frames sent with an inverted FCS because their last word had an error"),
    ("mac_tx_underrun", "frames sent cut, with TX_ER and an inverted FCS, because a word came late"),
)

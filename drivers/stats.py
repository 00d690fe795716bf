"""What a port counts."""

from typing import NamedTuple


class PortStats(NamedTuple):
    """Counts since the port was opened; see c/port.h.

    Members: ``rx_frames``, ``rx_bytes``; ``rx_dropped``: lost for want of a free slot; ``rx_oversize``: longer than a
    slot, dropped; ``rx_invalid``: what made no sense; ``tx_frames``, ``tx_bytes``: accepted by the port;
    ``tx_dropped``: accepted, then refused by the kernel or the device; ``tx_full``: calls that found no room for all
    their frames; ``tx_invalid``: frames refused for their length; ``tx_kicks``: system calls made to send;
    ``link_downs``: times the link was found down.
    """

    rx_frames: int
    rx_bytes: int
    rx_dropped: int
    rx_oversize: int
    rx_invalid: int
    tx_frames: int
    tx_bytes: int
    tx_dropped: int
    tx_full: int
    tx_invalid: int
    tx_kicks: int
    link_downs: int

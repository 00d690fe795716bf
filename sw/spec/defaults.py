"""Addresses, ports and packing rules used where the user names none: declared once, for files, device and tests.

The feed's group and port are those of Nasdaq's own TotalView-ITCH line; the other addresses are documentation
addresses (RFC 5737) and locally administered MAC addresses, so that nothing real is reached by accident.
"""

from typing import Final

from tickgate.sw.spec import net

FEED_SESSION: Final = "TICKGATE01"
FEED_FIRST_SEQUENCE: Final = 1
FEED_IP: Final = net.ipv4("233.54.12.111")
FEED_MAC: Final = net.multicast_mac(FEED_IP)
FEED_PORT: Final = 26477
FEED_SOURCE_MAC: Final = net.mac("02:00:00:00:00:01")
FEED_SOURCE_IP: Final = net.ipv4("192.0.2.1")
FEED_SOURCE_PORT: Final = 49649

ORDER_SOURCE_MAC: Final = net.mac("02:00:00:00:00:10")
ORDER_SOURCE_IP: Final = net.ipv4("198.51.100.1")
ORDER_SOURCE_PORT: Final = 42277
ORDER_MAC: Final = net.mac("02:00:00:00:00:20")
ORDER_IP: Final = net.ipv4("198.51.100.2")
ORDER_PORT: Final = 8001
ORDER_PORTS: Final = (8001, 8003)
"""TCP ports on which a decoder expects SoupBinTCP."""

PACK_BYTES_MAX: Final = 1400
"""Longest MoldUDP64 packet (UDP payload) that the packer makes, where a single message does not need more."""
PACK_WINDOW_NS: Final = 10_000
"""A packet's messages lie at most this far behind its first."""

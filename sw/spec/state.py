"""Validity, anomalies, trading state and drop causes, each numbered once.

Source: docs of the semantics (`docs/architecture.md`); every enumeration here is used by the model, the gateware, the
driver and the reports under the same name.
"""

from enum import IntEnum, IntFlag


class Validity(IntFlag):
    """Why a slot's book may not be used; an order rejects with `stale` unless the mask is 0."""

    UNSYNCED = 1 << 0  # set by reset and a new session; cleared by sequence 1 of the session or the host's mark
    GAP = 1 << 1  # missing sequence numbers
    FCS = 1 << 2  # `error` on a frame of which events were already used
    INCOMPLETE = 1 << 3  # an anomaly
    OVERFLOW = 1 << 4  # order table and its stash full: the order is not kept
    WINDOW = 1 << 5  # a side is not sound; sets and clears by itself
    CLEARING = 1 << 6  # tables being swept


#: Bits that a host's mark or a new session clears (beside `UNSYNCED`, which a new session sets).
STICKY_VALIDITY = Validity.GAP | Validity.FCS | Validity.INCOMPLETE | Validity.OVERFLOW


class Anomaly(IntEnum):
    """What was wrong with a message; each has its own counter and sets `incomplete`. 0 is none."""

    NONE = 0
    UNKNOWN_REFERENCE = 1  # E, C, X, D, U of a reference that is not live: dropped
    DUPLICATE_REFERENCE = 2  # A, F, U bringing a live reference: the add is dropped (U still removes the old order)
    ZERO_QUANTITY = 3  # quantity 0: dropped
    ZERO_PRICE = 4  # price 0: dropped
    BAD_SIDE = 5  # side neither B nor S: dropped
    EXCESS_QUANTITY = 6  # E, C or X above what remains: the order is removed
    WRONG_LOCATE = 7  # the message's locate is not its order's: dropped; both symbols turn incomplete
    WRONG_LENGTH = 8  # a known type with a wrong length: skipped; every symbol turns incomplete


class Drop(IntEnum):
    """Why a frame, packet or message was not used; each has its own counter.

    RUNT to SESSION count frames: the first cause in this order wins. The rest count messages or packets, independently.
    The blocks of a packet are walked in order, `count` times, until one of these ends it: fewer than 2 bytes are left
    inside the UDP length (BLOCK_OVERRUN), the length field did not arrive (TRUNCATED), the length is below 12
    (BLOCK_SHORT), the block ends beyond the UDP length (BLOCK_OVERRUN), its last byte did not arrive (TRUNCATED).
    A message is delivered, or counted DUPLICATE, when its last byte arrives.
    """

    RUNT = 0  # frame shorter than its headers, Ethernet to MoldUDP64: 62 bytes, 66 with a tag, whatever it holds
    ETHERTYPE = 1  # not IPv4, or a second VLAN tag
    IP_VERSION = 2  # not version 4
    IP_OPTIONS = 3  # header length is not 20 bytes
    IP_FRAGMENT = 4  # MF set or offset not 0
    IP_PROTOCOL = 5  # not UDP
    IP_CHECKSUM = 6  # header checksum wrong
    DESTINATION = 7  # not the role's address or port
    LENGTH = 8  # UDP length below 28 (8 + MoldUDP64's 20), or beyond the IP total length less 20
    SESSION = 9  # another MoldUDP64 session name
    BLOCK_SHORT = 10  # packets ended by a block below 12 bytes
    BLOCK_OVERRUN = 11  # packets ended by a block that reaches (itself, or its length field) past the UDP length
    TRUNCATED = 12  # frames that end before the UDP length does, after a good header
    DUPLICATE = 13  # messages below the expected sequence number
    UNKNOWN_TYPE = 14  # messages of a type that is not in ITCH 5.0
    WRONG_LENGTH = 15  # messages of a known type with a wrong length
    UNSUBSCRIBED = 16  # messages of a locate that no slot has
    CLEARING = 17  # order messages that arrived while the tables were swept
    ERROR_FRAME = 18  # frames with `error` on their last word, beside any other cause
    LINE_BUSY = 19  # frames that began while the other line was in one (both at once: B's); no other cause
    EVENT_OVERFLOW = 20  # events lost in front of the book: every slot turns `overflow`


class SymbolState(IntFlag):
    """Why a symbol does not trade; it trades when the mask is 0."""

    NO_STATE = 1 << 0  # no H has said T yet, and the configuration does not assume trading
    HALTED = 1 << 1  # last H is not T
    OPERATIONAL_HALT = 1 << 2  # h stands
    BREAKER = 1 << 3  # W stands (market-wide)
    CLOSED = 1 << 4  # S said M, E or C


class OrderClass(IntEnum):
    """Where an order of the table stands against its side's window."""

    PLACED = 0  # it has a level
    FAR = 1  # beyond the worse edge, on the tick or not
    OFF = 2  # beyond the better edge, or inside the window and off the tick

"""ITCH 5.0 decoder typed by hand from the specification; it shares nothing with the project's tables.

Prices stay integers, text loses its padding, `type` is one character.
"""

import struct

# One row a type: the struct format of the body behind the 11-byte header, and the names of its values.
BODIES = {
    "S": ("c", "event_code"),
    "R": ("8s c c I c c 2s c c c c c I c",
          "stock market_category financial_status round_lot_size round_lots_only issue_classification issue_subtype "
          "authenticity short_sale_threshold ipo_flag luld_tier etp_flag etp_leverage inverse"),
    "H": ("8s c c 4s", "stock trading_state reserved reason"),
    "Y": ("8s c", "stock reg_sho_action"),
    "L": ("4s 8s c c c", "mpid stock primary_market_maker market_maker_mode participant_state"),
    "V": ("Q Q Q", "level1_e8 level2_e8 level3_e8"),
    "W": ("c", "breached_level"),
    "K": ("8s I c I", "stock release_time_s release_qualifier price_e4"),
    "J": ("8s I I I I", "stock reference_price_e4 upper_price_e4 lower_price_e4 extension"),
    "h": ("8s c c", "stock market_code action"),
    "A": ("Q c I 8s I", "reference side shares stock price_e4"),
    "F": ("Q c I 8s I 4s", "reference side shares stock price_e4 mpid"),
    "E": ("Q I Q", "reference shares match_number"),
    "C": ("Q I Q c I", "reference shares match_number printable price_e4"),
    "X": ("Q I", "reference shares"),
    "D": ("Q", "reference"),
    "U": ("Q Q I I", "original_reference new_reference shares price_e4"),
    "P": ("Q c I 8s I Q", "reference side shares stock price_e4 match_number"),
    "Q": ("Q 8s I Q c", "shares stock price_e4 match_number cross_type"),
    "B": ("Q", "match_number"),
    "I": ("Q Q c 8s I I I c c",
          "paired_shares imbalance_shares imbalance_direction stock far_price_e4 near_price_e4 reference_price_e4 "
          "cross_type price_variation"),
    "N": ("8s c", "stock interest_flag"),
    "O": ("8s c I I I Q I I",
          "stock open_eligibility minimum_price_e4 maximum_price_e4 near_execution_price_e4 near_execution_time_ns "
          "lower_collar_e4 upper_collar_e4"),
}  # fmt: skip


def decode(message: bytes) -> dict[str, int | str]:
    """The fields of one message.

    Raises
    ------
    ValueError
        Unknown type, or a length that is not the type's.
    """
    kind = chr(message[0])
    if kind not in BODIES:
        raise ValueError(f"unknown type {kind!r}")
    form, names = BODIES[kind]
    size = 11 + struct.calcsize(">" + form)
    if len(message) != size:
        raise ValueError(f"type {kind} has {size} bytes, not {len(message)}")
    locate, tracking, time_high, time_low = struct.unpack(">HHHI", message[1:11])
    out: dict[str, int | str] = {
        "type": kind,
        "stock_locate": locate,
        "tracking_number": tracking,
        "timestamp_ns": time_high * 2**32 + time_low,
    }
    for name, value in zip(names.split(), struct.unpack(">" + form, message[11:]), strict=True):
        out[name] = value.decode("ascii").strip(" ") if isinstance(value, bytes) else value
    return out

"""Which symbols a file of messages has, and which of them get a slot."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tickgate.sw.spec import itch
from tickgate.sw.spec.errors import UserError

DEFAULT_TOP = 8

#: Where each type that names its symbol has it.
_STOCK_AT = {m.type_byte: m.field("stock").offset for m in itch.ALL if "stock" in m.names}
#: Types that concern no symbol; their locate (0) is none of a symbol.
_MARKET_WIDE = {m.type_byte for m in (itch.SYSTEM_EVENT, itch.MWCB_DECLINE_LEVEL, itch.MWCB_STATUS)}


@dataclass(frozen=True)
class Selection:
    """Which symbols get a slot: by name, by locate, or the busiest; the first that is given counts."""

    symbols: tuple[str, ...] = ()
    locates: tuple[int, ...] = ()
    top: int = DEFAULT_TOP


@dataclass
class Survey:
    """Which symbols occur.

    Members
    -------
    messages: messages looked at, unknown ones included.
    per_locate: messages of known type and length by locate; market_wide: those of them that concern no symbol.
    names: the symbol of each locate that a message names one for.
    with_state: locates of which a trading action (H) was seen.
    """

    messages: int = 0
    per_locate: Counter[int] = field(default_factory=Counter)
    market_wide: Counter[int] = field(default_factory=Counter)
    names: dict[int, str] = field(default_factory=dict)
    with_state: set[int] = field(default_factory=set)


def survey(messages: Iterable[bytes]) -> Survey:
    """Count messages by locate, and note names and whether a trading state is told."""
    found = Survey()
    per_locate: Counter[bytes] = Counter()
    names = found.names
    lengths = itch.LENGTHS
    for data in messages:
        found.messages += 1
        code = data[0] if data else 0
        if lengths.get(code) != len(data):
            continue
        key = data[1:3]
        per_locate[key] += 1
        at = _STOCK_AT.get(code)
        if at is not None:
            locate = data[1] << 8 | data[2]
            if locate not in names:
                names[locate] = data[at : at + 8].decode("ascii", "replace").strip()
            if code == itch.TRADING_ACTION.type_byte:
                found.with_state.add(locate)
        elif code in _MARKET_WIDE:
            found.market_wide[data[1] << 8 | data[2]] += 1
    for key, count in per_locate.items():
        found.per_locate[int.from_bytes(key, "big")] = count
    return found


def select_locates(found: Survey, selection: Selection, slots: int) -> list[int]:
    """The locates that get a slot, in the order asked for, or the busiest first.

    Where no message names a symbol (a part of a session that holds executions and deletions only) the busiest locates
    are taken without a name.

    Raises
    ------
    UserError: a symbol or locate that does not occur, more than the device has slots, or no message of any symbol.
    """
    if selection.symbols:
        by_name = {name: locate for locate, name in found.names.items()}
        for name in selection.symbols:
            if name not in by_name:
                close = difflib.get_close_matches(name, list(by_name), 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise UserError(f"symbol {name} does not occur in these messages{hint}")
        wanted = [by_name[name] for name in selection.symbols]
    elif selection.locates:
        wanted = list(selection.locates)
        for locate in wanted:
            if locate not in found.per_locate:
                raise UserError(f"locate {locate} does not occur in these messages")
    else:
        if selection.top < 1:
            raise UserError(f"the number of symbols must be 1 or more, not {selection.top}")
        known = set(found.names) or {k for k, n in found.per_locate.items() if n > found.market_wide[k]}
        busiest = sorted((-n, locate) for locate, n in found.per_locate.items() if locate in known)
        wanted = [locate for _, locate in busiest[: selection.top]]
        if not wanted:
            raise UserError("no message belongs to a symbol")
    wanted = list(dict.fromkeys(wanted))
    if len(wanted) > slots:
        raise UserError(f"{len(wanted)} symbols do not fit a device of {slots} slots")
    return wanted

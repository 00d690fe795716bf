"""The TOML form of a configuration: what a user writes for `--config`, and what tools print.

```toml
armed = true                     # re-arm the kill switch when all is loaded

[feed]                           # every key has a default: the addresses of tickgate.sw.spec.defaults
[gate]
[session]
[peer]

[[slot]]                         # slots in order; an empty one is not in use
locate = 13
symbol = "AAPL"
tick_e4 = 100
base_e4 = 3100000

[slot.buy]                       # and [slot.sell]: the triggers
kind = "take"
threshold_e4 = 3200000
price_source = "best_ask"
quantity = 100

[slot.limits]                    # a limit that is missing rejects
max_quantity = 500

[[action]]                       # what the host does in front of a message
seq = 1000
action = "kill"
```

Numbers are checked against the width of the row's field; a slot's window follows from the levels of the device.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

from tickgate.sw.spec import defaults, net, ouch, rows
from tickgate.sw.spec.config import ACTIONS, Action, Config, SlotConfig, ascii_field, symbol_row
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.records import Record
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import TICKS_E4


class _Wrong(Exception):
    """A value that does not fit its key; the message says what the key takes."""


@dataclass(frozen=True)
class Key:
    """One key of a table: how its value becomes a row's number and back.

    Members
    -------
    name: of the key and of the row's field.
    read: value in TOML to number; raises with what the key takes.
    show: number to TOML text.
    default: number where the key is missing; None: it must be there.
    group: the `_valid` field that says whether it is configured; "" where it always is.
    """

    name: str
    read: Callable[[Any], int]
    show: Callable[[int], str]
    default: int | None = None
    group: str = ""


def _integer(low: int, high: int) -> tuple[Callable[[Any], int], Callable[[int], str]]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Wrong(f"takes {low:,} to {high:,}")
        return value

    return read, str


def _flag() -> tuple[Callable[[Any], int], Callable[[int], str]]:
    def read(value: Any) -> int:
        if not isinstance(value, bool):
            raise _Wrong("takes true or false")
        return int(value)

    return read, lambda number: "true" if number else "false"


def _choice(values: Mapping[str, int]) -> tuple[Callable[[Any], int], Callable[[int], str]]:
    names = {number: name for name, number in values.items()}

    def read(value: Any) -> int:
        if not isinstance(value, str) or value not in values:
            raise _Wrong(f"takes {', '.join(map(json.dumps, values))}")
        return values[value]

    return read, lambda number: json.dumps(names[number])


def _text(size: int, blank_is_zero: bool = False) -> tuple[Callable[[Any], int], Callable[[int], str]]:
    def read(value: Any) -> int:
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > size:
            raise _Wrong(f"takes up to {size} ASCII characters")
        return 0 if blank_is_zero and not value else ascii_field(value, size)

    return read, lambda number: json.dumps(number.to_bytes(size, "big").decode("ascii").strip(" \0"))


def _address(parse: Callable[[str], int], show: Callable[[int], str]) -> tuple[Any, Any]:
    def read(value: Any) -> int:
        try:
            return parse(value)
        except (AttributeError, ValueError) as error:
            raise _Wrong(f"takes text: {error}") from None

    return read, lambda number: json.dumps(show(number))


def _field(record: Record, name: str, default: int | None = None, group: str = "", low: int = 0) -> Key:
    """A number as wide as the row's field."""
    bits = next(f.bits for f in record.fields if f.name == name)
    return Key(name, *_integer(low, (1 << bits) - 1), default, group)


def _names(kind: type[IntEnum]) -> dict[str, int]:
    return {item.name.lower(): int(item) for item in kind}


def _letters(kind: type[Enum]) -> dict[str, int]:
    return {item.name.lower(): item.value[0] for item in kind}


_MAC = _address(net.mac, net.mac_text)
_IP = _address(net.ipv4, net.ipv4_text)

FEED = (
    Key("dst_ip", *_IP, defaults.FEED_IP),
    _field(rows.FEED_ROW, "dst_port", defaults.FEED_PORT),
    Key("session", *_text(10), ascii_field(defaults.FEED_SESSION, 10)),
    _field(rows.FEED_ROW, "first_seq", defaults.FEED_FIRST_SEQUENCE),
)
GATE = (
    _field(rows.GATE_ROW, "rate_burst", None, "rate_valid", 1),
    _field(rows.GATE_ROW, "rate_period_cycles", None, "rate_valid", 1),
    _field(rows.GATE_ROW, "intent_limit_cycles", None, "intent_limit_valid"),
)
SESSION = (
    Key("open", *_flag(), 1),
    Key("src_mac", *_MAC, defaults.ORDER_SOURCE_MAC),
    Key("dst_mac", *_MAC, defaults.ORDER_MAC),
    Key("src_ip", *_IP, defaults.ORDER_SOURCE_IP),
    Key("dst_ip", *_IP, defaults.ORDER_IP),
    _field(rows.SESSION_ROW, "src_port", defaults.ORDER_SOURCE_PORT),
    _field(rows.SESSION_ROW, "dst_port", defaults.ORDER_PORT),
    _field(rows.SESSION_ROW, "next_seq", 1),
    _field(rows.SESSION_ROW, "user_ref", 1),
    Key("cl_ord_id", *_text(14), ascii_field("TICKGATE", 14)),
    Key("firm", *_text(4, blank_is_zero=True), 0),
)
PEER = (
    _field(rows.PEER_ROW, "ack_out", 1),
    _field(rows.PEER_ROW, "window_out", 65_535),
    _field(rows.PEER_ROW, "ack_in", 1),
    _field(rows.PEER_ROW, "window_in", 1 << 30),
)
SYMBOL = (
    _field(rows.SYMBOL_ROW, "locate"),
    Key("symbol", *_text(8)),
    Key("tick_e4", *_integer(min(TICKS_E4), max(TICKS_E4))),
    _field(rows.SYMBOL_ROW, "base_e4"),
    Key("assume_trading", *_flag(), 0),
)
TRIGGER = (
    Key("kind", *_choice(_names(rows.TriggerKind))),
    _field(rows.TRIGGER_ROW, "threshold_e4", 0),
    _field(rows.TRIGGER_ROW, "num", 0),
    _field(rows.TRIGGER_ROW, "den", 0),
    _field(rows.TRIGGER_ROW, "min_spread_e4", 0),
    Key("price_source", *_choice(_names(rows.PriceSource)), int(rows.PriceSource.TEMPLATE)),
    _field(rows.TRIGGER_ROW, "price_e4", 0),
    _field(rows.TRIGGER_ROW, "quantity"),
    Key("tif", *_choice(_letters(ouch.TimeInForce)), ouch.TimeInForce.IOC.value[0]),
    Key("display", *_choice(_letters(ouch.Display)), ouch.Display.VISIBLE.value[0]),
    Key("capacity", *_choice(_letters(ouch.Capacity)), ouch.Capacity.PRINCIPAL.value[0]),
    Key("rearm", *_choice(_names(rows.Rearm)), int(rows.Rearm.COOLDOWN)),
    _field(rows.TRIGGER_ROW, "cooldown_cycles", 0),
)
LIMITS = (
    _field(rows.LIMITS_ROW, "max_quantity", None, "max_quantity_valid"),
    _field(rows.LIMITS_ROW, "max_notional_e4", None, "max_notional_valid"),
    _field(rows.LIMITS_ROW, "collar_abs_e4", None, "collar_valid"),
    _field(rows.LIMITS_ROW, "collar_bps", None, "collar_valid"),
    _field(rows.LIMITS_ROW, "rate_burst", None, "rate_valid", 1),
    _field(rows.LIMITS_ROW, "rate_period_cycles", None, "rate_valid", 1),
)
ACTION = (
    Key("seq", *_integer(0, (1 << 64) - 1)),
    Key("action", *_choice({name: number for number, name in enumerate(ACTIONS)})),
)
_TOP = {"armed": bool, "feed": dict, "gate": dict, "session": dict, "peer": dict, "slot": list, "action": list}
_TABLE_OF = {dict: "a table", list: "a list of tables", bool: "true or false"}
_SLOT_TABLES = ("buy", "sell", "limits")


def load(path: str | os.PathLike[str], sizes: Sizes) -> Config:
    """The configuration in a file, for a device of these sizes.

    Raises
    ------
    UserError: not TOML, an unknown key, a value out of range, more slots than the device has, a locate used twice.
    OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        raw = file.read()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UserError(f"{os.fspath(path)}: not a text file in UTF-8") from None
    return loads(text, sizes, os.fspath(path))


def loads(text: str, sizes: Sizes, name: str = "configuration") -> Config:
    """The configuration in a text; `name` stands in front of every error. Raises as `load`."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: not TOML: {error}") from None
    try:
        return _config(tree, sizes)
    except _Wrong as error:
        raise UserError(f"{name}: {error}") from None


def dumps(config: Config) -> str:
    """The text of a configuration: every key, so that nothing depends on a default."""
    out = [f"armed = {'true' if config.armed else 'false'}"]
    for table, keys, row in (
        ("feed", FEED, config.feed),
        ("gate", GATE, config.gate),
        ("session", SESSION, config.session),
        ("peer", PEER, config.peer),
    ):
        out += ["", f"[{table}]", *_lines(keys, row)]
    for slot in config.slots:
        out += ["", "[[slot]]"]
        if not slot.symbol.get("valid"):
            continue
        out += _lines(SYMBOL, slot.symbol)
        for side, trigger in zip(("buy", "sell"), slot.triggers, strict=True):
            if trigger:
                out += ["", f"[slot.{side}]", *_lines(TRIGGER, trigger)]
        if slot.limits:
            out += ["", "[slot.limits]", *_lines(LIMITS, slot.limits)]
    for action in config.actions:
        out += ["", "[[action]]", f"seq = {action.seq}", f"action = {json.dumps(action.action)}"]
    return "\n".join(out) + "\n"


def default_row(keys: Sequence[Key]) -> dict[str, int]:
    """A table's row when the user writes none of its keys."""
    return _row(keys, {}, "")


def _lines(keys: Sequence[Key], row: Mapping[str, int]) -> list[str]:
    shown = [k for k in keys if not k.group or row.get(k.group)]
    return [f"{k.name} = {k.show(row.get(k.name, 0))}" for k in shown]


def _config(tree: Mapping[str, Any], sizes: Sizes) -> Config:
    _known(tree, _TOP, "")
    for key, value in tree.items():
        if not isinstance(value, _TOP[key]) or (
            isinstance(value, list) and not all(isinstance(item, dict) for item in value)
        ):
            raise _Wrong(f"{key} takes {_TABLE_OF[_TOP[key]]}, not {value!r}")
    slots = tree.get("slot", [])
    if len(slots) > sizes.slots:
        raise _Wrong(f"a device of this size has {sizes.slots} slots, not {len(slots)}")
    made = tuple(_slot(table, f"slot {number}", sizes) for number, table in enumerate(slots))
    locates = [s.symbol["locate"] for s in made if s.symbol]
    for locate in locates:
        if locates.count(locate) > 1:
            raise _Wrong(f"locate {locate} is used by more than one slot")
    actions = tuple(_action(table, f"action {number}") for number, table in enumerate(tree.get("action", [])))
    return Config(
        feed=_row(FEED, tree.get("feed", {}), "feed"),
        slots=made,
        gate=_row(GATE, tree.get("gate", {}), "gate"),
        session=_row(SESSION, tree.get("session", {}), "session"),
        peer=_row(PEER, tree.get("peer", {}), "peer"),
        armed=tree.get("armed", True),
        actions=actions,
    )


def _slot(table: Mapping[str, Any], where: str, sizes: Sizes) -> SlotConfig:
    if not table:
        return SlotConfig({})
    own = {key: value for key, value in table.items() if key not in _SLOT_TABLES}
    _known(own, [*(k.name for k in SYMBOL), *_SLOT_TABLES], where)
    for key in _SLOT_TABLES:
        if not isinstance(table.get(key, {}), dict):
            raise _Wrong(f"{where}: {key} takes a table, not {table[key]!r}")
    values = _row(SYMBOL, own, where)
    try:
        symbol = symbol_row(
            values["locate"],
            own["symbol"],
            values["tick_e4"],
            values["base_e4"],
            sizes.levels,
            bool(values["assume_trading"]),
        )
    except ValueError as error:
        raise _Wrong(f"{where}: {error}") from None
    triggers = tuple(
        _row(TRIGGER, table[side], f"{where}: {side}") if side in table else {} for side in ("buy", "sell")
    )
    limits = _row(LIMITS, table.get("limits", {}), f"{where}: limits")
    return SlotConfig(symbol, (triggers[0], triggers[1]), limits)


def _action(table: Mapping[str, Any], where: str) -> Action:
    values = _row(ACTION, table, where)
    return Action(values["seq"], ACTIONS[values["action"]])


def _row(keys: Sequence[Key], table: Mapping[str, Any], where: str) -> dict[str, int]:
    """The row of a table: every key checked, groups whole or left out."""
    _known(table, [k.name for k in keys], where)
    row: dict[str, int] = {}
    for key in keys:
        if key.name in table:
            try:
                row[key.name] = key.read(table[key.name])
            except _Wrong as error:
                raise _Wrong(f"{where}: {key.name} {error}, not {table[key.name]!r}") from None
        elif key.group:
            partner = next((k.name for k in keys if k.group == key.group and k.name in table), None)
            if partner is not None:
                raise _Wrong(f"{where}: {partner} needs {key.name} beside it")
            continue
        elif key.default is None:
            raise _Wrong(f"{where}: {key.name} is missing")
        else:
            row[key.name] = key.default
        if key.group:
            row[key.group] = 1
    return row


def _known(table: Mapping[str, Any], names: Sequence[str] | Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in names:
            close = difflib.get_close_matches(key, list(names), 1, 0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(names)}"
            raise _Wrong(f"{where + ': ' if where else ''}no key {key!r}; {hint}")

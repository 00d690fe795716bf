"""The TOML form of a configuration: defaults, errors that name key and range, and the way there and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import config_toml, defaults, rows
from tickgate.sw.spec.config import ACTIONS, Action, Config, SlotConfig, ascii_field, symbol_row
from tickgate.sw.spec.config_toml import dumps, load, loads
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.ouch import Capacity, Display, TimeInForce
from tickgate.sw.spec.rows import PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import TICKS_E4

SIZES = Sizes(slots=4, orders=256, levels=64)
SLOT = """
[[slot]]
locate = 13
symbol = "AAPL"
tick_e4 = 100
base_e4 = 3100000
"""


def test_config_text_of_nothing_is_the_defaults():
    config = loads("", SIZES)
    assert config.armed
    assert config.slots == config.actions == ()
    assert config.gate == {}
    assert config.feed == {
        "dst_ip": defaults.FEED_IP, "dst_port": defaults.FEED_PORT, "first_seq": 1,
        "session": int.from_bytes(b"TICKGATE01", "big"),
    }  # fmt: skip
    assert config_toml.default_row(config_toml.FEED) == config.feed
    assert (config.session["open"], config.session["firm"], config.peer["window_in"]) == (1, 0, 1 << 30)


def test_config_text_in_the_module_is_an_example():
    example = config_toml.__doc__.split("```")[1].removeprefix("toml\n")
    config = loads(example, SIZES)
    assert config.locates() == {13: 0}
    buy = config.slots[0].triggers[0]
    assert (buy["kind"], buy["threshold_e4"], buy["price_source"]) == (
        TriggerKind.TAKE,
        3_200_000,
        PriceSource.BEST_ASK,
    )
    assert config.slots[0].triggers[1] == {}
    assert config.slots[0].limits == {"max_quantity": 500, "max_quantity_valid": 1}
    assert config.actions == (Action(1000, "kill"),)
    assert config.writes()


def test_config_slot_window_follows_from_the_levels():
    row = loads(SLOT, SIZES).slots[0].symbol
    assert row == symbol_row(13, "AAPL", 100, 3_100_000, 64)
    assert row["span_e4"] == 6_400
    assert loads("[[slot]]" + SLOT, SIZES).slots[0] == SlotConfig({})


def test_config_groups_are_configured_whole():
    config = loads(SLOT + "[slot.limits]\ncollar_abs_e4 = 5\ncollar_bps = 6\n[gate]\nintent_limit_cycles = 0", SIZES)
    assert config.slots[0].limits == {"collar_abs_e4": 5, "collar_bps": 6, "collar_valid": 1}
    assert config.gate == {"intent_limit_cycles": 0, "intent_limit_valid": 1}


KINDS = 'kind takes "off", "take", "imbalance", "spread"'
MISTAKES = [
    ("armed = ", "not TOML: Invalid value"),
    ("armd = true", "no key 'armd'; did you mean 'armed'?"),
    ("zzzzzz = 1", "no key 'zzzzzz'; the keys are armed, feed, gate, session, peer, slot, action"),
    ("armed = 1", "armed takes true or false, not 1"),
    ("feed = 1", "feed takes a table, not 1"),
    ("slot = 1", "slot takes a list of tables, not 1"),
    ("slot = [1]", "slot takes a list of tables, not [1]"),
    ("[feed]\ndst_port = 65536", "feed: dst_port takes 0 to 65,535, not 65536"),
    ("[feed]\ndst_port = true", "feed: dst_port takes 0 to 65,535, not True"),
    ("[feed]\ndst_ip = '1.2.3'", "feed: dst_ip takes text: an IPv4 address is four numbers"),
    ("[feed]\ndst_ip = 5", "feed: dst_ip takes text"),
    ("[session]\nsrc_mac = 'x'", "session: src_mac takes text: a MAC address is six"),
    ("[feed]\nsession = 'TICKGATE012'", "feed: session takes up to 10 ASCII characters, not 'TICKGATE012'"),
    ("[feed]\nsession = 'é'", "feed: session takes up to 10 ASCII"),
    ("[feed]\nsession = 1", "feed: session takes up to 10 ASCII"),
    ("[session]\nopen = 1", "session: open takes true or false, not 1"),
    ("[gate]\nrate_burst = 5", "gate: rate_burst needs rate_period_cycles beside it"),
    ("[gate]\nrate_burst = 5\nrate_period_cycles = 0", "gate: rate_period_cycles takes 1 to 4,294,967,295, not 0"),
    ("[peer]\nwindow = 5", "peer: no key 'window'; did you mean 'window_in'?"),
    ("[[slot]]\nlocate = 1", "slot 0: symbol is missing"),
    (SLOT + "base = 5", "slot 0: no key 'base'; did you mean 'base_e4'?"),
    (SLOT + "limits = 5", "slot 0: limits takes a table, not 5"),
    (SLOT.replace("= 100", "= 101"), "slot 0: tick_e4 must be one of 1, 50, 100, 500, 1000, not 101"),
    (SLOT.replace("= 100", "= 5000"), "slot 0: tick_e4 takes 1 to 1,000, not 5000"),
    (SLOT.replace("3100000", "3100001"), "slot 0: base_e4 must be a multiple of the tick 100, not 3100001"),
    (SLOT.replace("3100000", "4294967200"), "slot 0: base_e4 must be at most 4294960896 with 64 levels"),
    (SLOT + SLOT, "locate 13 is used by more than one slot"),
    ("[[slot]]" * 1 + "\n[[slot]]" * 4, "a device of this size has 4 slots, not 5"),
    (SLOT + "[slot.buy]\nkind = 'take'", "slot 0: buy: quantity is missing"),
    (SLOT + "[slot.sell]\nkind = 'takes'\nquantity = 1", f"slot 0: sell: {KINDS}, not 'takes'"),
    (SLOT + "[slot.buy]\nkind = ['take']\nquantity = 1", f"slot 0: buy: {KINDS}, not ['take']"),
    (SLOT + "[slot.limits]\nmax_quantiy = 1", "slot 0: limits: no key 'max_quantiy'; did you mean 'max_quantity'?"),
    ("[[action]]\nseq = 1\naction = 'die'", 'action 0: action takes "kill", "arm", "session_close"'),
    ("[[action]]\nseq = -1\naction = 'kill'", "action 0: seq takes 0 to 18,446,744,073,709,551,615, not -1"),
]  # fmt: skip


@pytest.mark.parametrize("text, message", MISTAKES)
def test_config_mistake_is_named_with_what_is_right(text, message):
    with pytest.raises(UserError, match="^x.toml: " + re.escape(message)) as caught:
        loads(text, SIZES, "x.toml")
    assert "\n" not in str(caught.value)


def test_config_file_is_read(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(SLOT)
    assert load(path, SIZES).locates() == {13: 0}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"x\.toml: not a text file in UTF-8"):
        load(path, SIZES)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml", SIZES)


def numbers(record, *names):
    bits = {f.name: f.bits for f in record.fields}
    return {name: st.integers(0, (1 << bits[name]) - 1) for name in names}


def text(size):
    letters = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=size)
    return letters.map(lambda value: ascii_field(value, size))


def letters(kind):
    return st.sampled_from([item.value[0] for item in kind])


def grouped(record, *groups):
    """Rows in which each group of fields is whole or absent."""
    parts = []
    for valid, names in groups:
        field = {n: st.integers(1, (1 << {f.name: f.bits for f in record.fields}[n]) - 1) for n in names}
        parts.append(st.one_of(st.just({}), st.fixed_dictionaries({**field, valid: st.just(1)})))
    return st.tuples(*parts).map(lambda found: {k: v for part in found for k, v in part.items()})


triggers = st.one_of(st.just({}), st.fixed_dictionaries({
    "kind": st.sampled_from([int(k) for k in TriggerKind]),
    **numbers(rows.TRIGGER_ROW, "threshold_e4", "num", "den", "min_spread_e4", "price_e4", "quantity"),
    **numbers(rows.TRIGGER_ROW, "cooldown_cycles"),
    "price_source": st.sampled_from([int(s) for s in PriceSource]),
    "tif": letters(TimeInForce), "display": letters(Display), "capacity": letters(Capacity),
    "rearm": st.sampled_from([int(r) for r in Rearm]),
}))  # fmt: skip
limits = grouped(
    rows.LIMITS_ROW, ("max_quantity_valid", ["max_quantity"]), ("max_notional_valid", ["max_notional_e4"]),
    ("collar_valid", ["collar_abs_e4", "collar_bps"]), ("rate_valid", ["rate_burst", "rate_period_cycles"]),
)  # fmt: skip
gates = grouped(
    rows.GATE_ROW, ("rate_valid", ["rate_burst", "rate_period_cycles"]), ("intent_limit_valid", ["intent_limit_cycles"])
)


@st.composite
def configs(draw):
    slots = []
    for locate in draw(st.lists(st.integers(0, 65_535), max_size=4, unique=True)):
        if draw(st.booleans()):
            tick = draw(st.sampled_from(TICKS_E4))
            base = draw(st.integers(0, ((1 << 32) - 64 * tick) // tick)) * tick
            name = draw(text(8)).to_bytes(8, "big").decode().rstrip()
            row = symbol_row(locate, name, tick, base, 64, draw(st.booleans()))
            slots.append(SlotConfig(row, (draw(triggers), draw(triggers)), draw(limits)))
        else:
            slots.append(SlotConfig({}))
    feed = {**numbers(rows.FEED_ROW, "dst_ip", "dst_port", "first_seq"), "session": text(10)}
    session = {
        **numbers(rows.SESSION_ROW, "open", "src_mac", "dst_mac", "src_ip", "dst_ip", "src_port", "dst_port"),
        **numbers(rows.SESSION_ROW, "next_seq", "user_ref"),
        "cl_ord_id": text(14), "firm": st.one_of(st.just(0), text(4)),
    }  # fmt: skip
    peer = numbers(rows.PEER_ROW, "ack_out", "window_out", "ack_in", "window_in")
    actions = st.builds(Action, st.integers(0, (1 << 64) - 1), st.sampled_from(ACTIONS))
    return Config(
        draw(st.fixed_dictionaries(feed)), tuple(slots), draw(gates), draw(st.fixed_dictionaries(session)),
        draw(st.fixed_dictionaries(peer)), draw(st.booleans()), tuple(draw(st.lists(actions, max_size=3))),
    )  # fmt: skip


@given(configs())
def test_config_comes_back_from_its_text(config):
    assert loads(dumps(config), SIZES) == config
    assert config.writes()

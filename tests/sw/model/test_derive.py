"""Configurations derived from messages."""

import pytest
from model_flow import (
    add,
    cancel,
    delete,
    directory,
    execute,
    feed_frame,
    flow,
    replace,
    system_event,
    trading_action,
)

from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import NominalRun, ReferencePipeline
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec import config_toml
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import SELL
from tickgate.sw.spec.rows import TriggerKind
from tickgate.sw.spec.sizes import LADDER, Sizes

SIZES = Sizes(slots=4, orders=256, levels=64)


def derived(messages, selection=None, sizes=SIZES):
    return derive_config(lambda: messages, sizes, selection)


def test_derive_config_survives_its_text():
    found = derived(flow(1, 2_000))
    for config in (found.config, demo_config(found)):
        assert config_toml.loads(config_toml.dumps(config), SIZES) == config


def test_derive_busiest_symbols_come_first():
    messages = flow(1, 1_000, locates=(1, 2, 3)) + [directory(9, "QUIET")]
    messages += [add(1 << 50 | n, "B", 1, 999_000, 3, stock="SYM3") for n in range(500)]
    found = derived(messages, Selection(top=2))
    assert found.symbols[0] == "SYM3"
    assert len(found.symbols) == 2
    assert found.messages == len(messages)


def test_derive_default_takes_no_more_than_the_device_has():
    messages = flow(1, 1_000, locates=tuple(range(1, 8)))
    assert len(derived(messages).symbols) == 4
    assert len(derived(messages, sizes=LADDER["medium"]).symbols) == 7


def test_derive_selection_by_name_and_locate_keeps_its_order():
    messages = flow(1, 500)
    assert derived(messages, Selection(symbols=("SYM3", "SYM1", "SYM3"))).symbols == ("SYM3", "SYM1")
    found = derived(messages, Selection(locates=(2, 1)))
    assert [s.symbol["locate"] for s in found.config.slots] == [2, 1]


@pytest.mark.parametrize("selection, message", [
    (Selection(symbols=("SYM44",)), r"symbol SYM44 does not occur in these messages; did you mean SYM\d\?"),
    (Selection(symbols=("QQQ",)), "symbol QQQ does not occur in these messages$"),
    (Selection(locates=(77,)), "locate 77 does not occur"),
    (Selection(top=0), "must be 1 or more, not 0"),
    (Selection(top=9), "5 symbols do not fit a device of 4 slots"),
])  # fmt: skip
def test_derive_wrong_selection_is_named(selection, message):
    with pytest.raises(UserError, match=message):
        derived(flow(1, 200, locates=(1, 2, 3, 4, 5)), selection)


def test_derive_without_symbols_is_refused():
    with pytest.raises(UserError, match="no message belongs to a symbol"):
        derived([system_event("O"), b"", b"z" * 20])


def test_derive_assumes_trading_where_no_state_is_told():
    messages = [directory(1, "A"), directory(2, "B"), trading_action("T", 2, "B")]
    found = derived(messages)
    assert found.assumed_trading == ("A",)
    assert [s.symbol["assume_trading"] for s in found.config.slots] == [0, 1]
    assert found.shares_in_window == (1.0, 1.0)


def test_derive_messages_without_a_name_takes_the_busiest_locates():
    found = derived([system_event("O"), *[delete(n, 13) for n in range(3)], execute(9, 1, 65_535), delete(5, 7)])
    assert found.symbols == ("#13", "#7", "#65535")
    assert config_toml.loads(config_toml.dumps(found.config), SIZES) == found.config


def test_derive_locate_without_a_name_gives_way_to_named_ones():
    assert derived([directory(1, "A"), delete(5, 2), delete(6, 2)]).symbols == ("A",)


def test_derive_locate_without_a_name_is_called_by_its_number():
    found = derived([directory(1, "A"), delete(5, 2)], Selection(locates=(2,)))
    assert found.symbols == ("#2",)
    assert found.peak_live_orders == 0


@pytest.mark.parametrize(
    "tick_e4, middle_e4", [(100, 3_210_000), (1, 5_000), (500, 1_000_000), (1000, 2_000_000), (50, 70_000)]
)
def test_derive_finds_tick_and_window(tick_e4, middle_e4):
    found = derived(flow(2, 3_000, locates=(1,), tick_e4=tick_e4, middle_e4=middle_e4))
    row = found.config.slots[0].symbol
    assert row["tick_e4"] == tick_e4
    assert row["base_e4"] <= middle_e4 < row["base_e4"] + row["span_e4"]
    assert found.shares_in_window[0] > 0.99


def test_derive_stub_quotes_cost_no_window():
    messages = [directory(1), add(1, "B", 1, 100), add(2, "S", 1, 1_999_999_900), *flow(3, 2_000, locates=(1,))]
    assert derived(messages).shares_in_window[0] > 0.99


def test_derive_order_off_the_tick_makes_the_tick_finer():
    messages = [directory(1), add(1, "B", 1, 1_000_050), add(2, "S", 1, 1_000_150), add(3, "B", 1, 1_000_000)]
    messages += [cancel(3, 0)] * 50
    assert derived(messages).config.slots[0].symbol["tick_e4"] == 50


def test_derive_order_off_the_tick_counts_only_while_it_lives():
    messages = [directory(1), add(1, "B", 1, 1_000_000), add(2, "S", 1, 1_000_100), add(3, "B", 1, 999_925)]
    messages += [replace(3, 4, 1, 999_935), replace(4, 5, 1, 999_900), execute(5, 1), delete(5)]
    messages += [add(6 + n, "B", 1, 999_900) for n in range(60)]
    assert derived(messages).config.slots[0].symbol["tick_e4"] == 100


def test_derive_triggers_use_every_kind_and_fire():
    messages = flow(4, 6_000, locates=(1, 2, 3, 4), width=30)
    found = derived(messages)
    kinds = {row["kind"] for slot in found.config.slots for row in slot.triggers}
    assert kinds == {TriggerKind.TAKE, TriggerKind.IMBALANCE, TriggerKind.SPREAD}
    assert found.fires > 40


def test_derive_kind_that_would_hardly_fire_gives_way():
    messages = [directory(1), *[add(n, "B", n, 1_000_000) for n in range(1, 10)]]
    messages += [add(100 + n, "B", n, 1_000_000 + 100 * n) for n in range(1, 10)]
    messages += [delete(100 + n) for n in range(9, 0, -1)] * 2
    for turn in range(6):
        messages += [add(200 + turn, "B", 5, 1_000_500), delete(200 + turn)]
    sell = derived(messages).config.slots[0].triggers[SELL]
    assert sell["kind"] == TriggerKind.TAKE


def test_derive_real_file_gives_orders_of_which_some_are_rejected(data_dir):
    data = (data_dir / "itch" / "real_aapl_20200130_pre.itch").read_bytes()
    messages, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        messages.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    sizes = LADDER["medium"]
    pipeline = ReferencePipeline(derived(messages, sizes=sizes).config, sizes)
    pipeline.load()
    run = NominalRun(pipeline)
    valid = total = 0
    for step in run.run((feed_frame(n + 1, [m]) for n, m in enumerate(messages)), 14):
        if step.update is not None and not step.update.every_slot:
            total += 1
            valid += step.update.validity == 0
    assert valid >= 0.99 * total
    assert len(run.order_frames) >= 100
    assert pipeline.counters()["rejected"] > 0
    assert pipeline.violations == []

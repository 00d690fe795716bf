"""The demo's configuration: a derived one in which every reason to reject occurs."""

from model_flow import flow

from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.spec.events import BUY, SELL
from tickgate.sw.spec.risk import QUANTITY_END_SHARES
from tickgate.sw.spec.sizes import Sizes


def derived(messages):
    return derive_config(lambda: messages, Sizes(slots=4, orders=256, levels=64))


def test_demo_config_plants_what_rejects():
    found = derived(flow(5, 3_000, locates=(1, 2, 3, 4)))
    config = demo_config(found)
    assert config.slots[-3].triggers[SELL]["quantity"] == QUANTITY_END_SHARES
    assert config.slots[-2].triggers[BUY]["quantity"] > config.slots[-2].limits["max_quantity"]
    assert {a.action for a in config.actions} == {"acknowledge", "kill", "arm", "session_close", "session_open"}
    assert [a.seq for a in config.actions] == sorted(a.seq for a in config.actions)


def test_demo_config_of_few_symbols_changes_no_slot():
    found = derived(flow(5, 500, locates=(1, 2)))
    assert demo_config(found).slots == found.config.slots

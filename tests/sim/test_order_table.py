"""The order table of the device itself, for as long as a busy day: how full it may be before an order finds no room."""

import random
import struct

import pytest

from tickgate.gateware.book.dump import decode_dump
from tickgate.gateware.book.hashing import table_shape
from tickgate.sim.device import Device
from tickgate.sw.files.block import block_of
from tickgate.sw.files.packer import Packer
from tickgate.sw.spec.config import Config, SlotConfig, symbol_row
from tickgate.sw.spec.config_toml import FEED, default_row
from tickgate.sw.spec.sizes import LADDER

MEDIUM = LADDER["medium"]
OPERATIONS = 1_000_000
LOAD = 0.7
#: References of one symbol in a full day: nearly dense, and the same modulo 4.
STEPS = range(4, 160, 4)
BATCH = 20_000

TICK_E4, BASE_E4, LOCATE = 100, 1_000_000, 13
_ADD, _DELETE = struct.Struct(">cHH6sQcI8sI"), struct.Struct(">cHH6sQ")
_TIME, _STOCK = (36_000 * 10**9).to_bytes(6, "big"), b"TEST    "


def add(rng, reference):
    price_e4 = BASE_E4 + TICK_E4 * rng.randrange(MEDIUM.levels)
    side = rng.choice((b"B", b"S"))
    return _ADD.pack(b"A", LOCATE, 0, _TIME, reference, side, rng.randrange(1, 1_000), _STOCK, price_e4)


def operations(rng, target, live):
    """Adds up to `target` live orders, then keeps just below it for ever; `live` holds the references."""
    reference = rng.randrange(1 << 33)
    while True:
        if len(live) < 0.98 * target or (len(live) < target and rng.random() < 0.5):
            reference += rng.choice(STEPS)
            live.append(reference)
            yield add(rng, reference)
        else:
            at = rng.randrange(len(live))
            live[at], live[-1] = live[-1], live[at]
            yield _DELETE.pack(b"D", LOCATE, 0, _TIME, live.pop())


@pytest.fixture
def device():
    slot = SlotConfig(symbol_row(LOCATE, "TEST", TICK_E4, BASE_E4, MEDIUM.levels, assume_trading=True))
    with Device(MEDIUM) as device:
        device.load(Config(feed=default_row(FEED), slots=(slot,)))
        yield device


def play(device, messages, count):
    """Sends `count` messages at line rate, packed as tightly as they go; the counters afterwards."""
    packer = Packer()
    while count:
        batch = min(count, BATCH)
        device.clear()  # traces of a million messages are of no use here
        frames = [packer.pack(block_of([next(messages) for _ in range(batch)])), packer.flush()]
        for part in frames:
            if len(part):
                device.run(part)
        count -= batch
    device.drain()
    return device.counters()


def test_order_table_at_70_percent_takes_a_million_operations_without_overflow(device):
    live = []
    target = int(MEDIUM.orders * LOAD)
    counters = play(device, operations(random.Random(70), target, live), OPERATIONS)
    assert counters["overflows"] == 0
    wrong = {name: n for name, n in counters.items() if n and name.startswith(("anomaly_", "drop_", "feed_gap"))}
    assert wrong == {}
    assert counters["events"] >= OPERATIONS
    orders, _ = decode_dump(MEDIUM, device.memories())
    assert sorted(orders) == sorted(live) and 0.97 * target < len(orders) <= target


def test_order_table_beyond_its_size_counts_every_order_that_it_could_not_keep(device):
    live = []
    wanted = table_shape(MEDIUM).entries + MEDIUM.stash + 100
    counters = play(device, operations(random.Random(71), 2 * wanted, live), wanted)
    orders, _ = decode_dump(MEDIUM, device.memories())
    assert counters["overflows"] == wanted - len(orders) >= 100
    assert orders.keys() < set(live)

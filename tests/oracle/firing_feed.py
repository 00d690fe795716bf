"""A feed that fires a trigger, and the configuration for it, for tests with the Verilated device."""

from tickgate.sim.compare.inputs import frames_of
from tickgate.sw.files.block import block_of
from tickgate.sw.files.packer import Packer
from tickgate.sw.spec import itch
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=4, orders=1024, levels=256, stash=16)
TOML = """
[gate]
rate_burst = 60000
rate_period_cycles = 1

[[slot]]
locate = 13
symbol = "AAPL"
tick_e4 = 100
base_e4 = 990000
assume_trading = true

[slot.buy]
kind = "take"
threshold_e4 = 1000000
price_e4 = 1000000
quantity = 200

[slot.limits]
max_quantity = 500
max_notional_e4 = 9000000000000
collar_abs_e4 = 100000
collar_bps = 1000
rate_burst = 60000
rate_period_cycles = 1
"""


def add(reference, side, price_e4, shares=1000):
    return itch.ADD_ORDER.pack(
        stock_locate=13, tracking_number=0, timestamp_ns=0, reference=reference, side=side, shares=shares,
        stock=b"AAPL", price_e4=price_e4,
    )  # fmt: skip


def delete(reference):
    return itch.ORDER_DELETE.pack(stock_locate=13, tracking_number=0, timestamp_ns=0, reference=reference)


def frames(messages):
    batches = Packer(per_packet=1).pack_all([block_of(messages)])
    return frames_of(frame for batch in batches for frame in batch)


def firing(count):
    """A bid, and then pairs of an offer that fires the trigger and its end."""
    messages = [add(1, b"B", 995_000)]
    for number in range(count):
        messages += [add(10 + number, b"S", 1_000_000), delete(10 + number)]
    return frames(messages)

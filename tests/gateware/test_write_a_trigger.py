"""Runs the worked example of docs/guide/write-a-trigger.md."""

import random
import re
import types

import pytest
from amaranth.sim import Simulator

from tickgate.sw.spec import events
from tickgate.sw.spec.rows import TRIGGER_ROW, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64)


@pytest.fixture(scope="module")
def guide(request) -> types.SimpleNamespace:
    """The names that the page's code blocks define, run in their order."""
    page = request.config.rootpath / "docs" / "guide" / "write-a-trigger.md"
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    return types.SimpleNamespace(**names)


def conditions(dut, rows: list[dict[str, int]], tops: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """Conditions and fired rows of slot 1 after each top of the book."""
    seen = []

    async def testbench(ctx):
        for side, row in enumerate(rows):
            ctx.set(dut.cfg_trigger.row.as_value(), TRIGGER_ROW.pack(row))
            ctx.set(dut.cfg_trigger.select, 2 + side)
            ctx.set(dut.cfg_trigger.commit, 1)
            await ctx.tick()
        ctx.set(dut.cfg_trigger.commit, 0)
        for top in [*tops, *[None] * 6]:
            ctx.set(dut.i.valid, top is not None)
            if top is not None:
                values = dict(zip(("bid_px_e4", "bid_qty", "ask_px_e4", "ask_qty"), top, strict=True))
                values |= {"slot": 1, "bbo_changed": 1, "itch_type": ord("A")}
                ctx.set(dut.i.payload.as_value(), events.BOOK_UPDATE.pack(values))
            await ctx.tick()
            if ctx.get(dut.trace.valid):
                seen.append((ctx.get(dut.trace.payload.condition), ctx.get(dut.trace.payload.fired)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def test_guide_example_fires_at_its_boundaries(guide):
    for side in (0, 1):
        cases = [case[1:] for case in guide.CASES if case[0] == side]
        rows = [{"kind": TriggerKind.OFF}] * 2
        rows[side] = {**guide.ROW, "rearm": Rearm.COOLDOWN}
        seen = conditions(guide.component(SIZES), rows, [case[:4] for case in cases])
        assert [bool(condition) for condition, _ in seen] == [case[4] for case in cases]
        assert [bool(fired) for _, fired in seen] == [case[4] for case in cases]


def test_guide_example_is_what_its_model_says(guide):
    rng = random.Random(5)
    rows = [{**guide.ROW, "threshold_e4": 20, "num": 2}, {**guide.ROW, "threshold_e4": 10, "num": 3}]
    tops = [
        (rng.randrange(3), rng.randrange(40), rng.randrange(3), rng.randrange(40) + rng.choice((0, 0, 1 << 47)))
        for _ in range(500)
    ]
    seen = conditions(guide.component(SIZES), rows, tops)
    assert len(seen) == len(tops)
    for (condition, _), top in zip(seen, tops, strict=True):
        wanted = [guide.sweep_model(row, side, *top) for side, row in enumerate(rows)]
        assert [bool(condition & 1), bool(condition & 2)] == wanted, top

"""The device runs ahead of the model, and nothing that a comparison finds depends on it."""

import sys
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from tickgate.sim.compare.device_side import SWITCH_S, one_ahead
from tickgate.sim.compare.engine import Comparison
from tickgate.sim.compare.inputs import FeedIdentity
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import update_latency
from tickgate.sim.device import Device, DeviceError
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import ReferencePipeline
from tickgate.sw.spec.sizes import LADDER

MEDIUM = LADDER["medium"]


@pytest.fixture(scope="module")
def session():
    return list(blocks(SessionOptions(seed=6, symbols=8, messages=6_000)))


@pytest.fixture(scope="module")
def config(session):
    """With an action in front of every hundredth part of the messages."""
    derived = derive_config(lambda: (m for block in session for m in block), MEDIUM)
    return replace(demo_config(derived), feed=FeedIdentity().row())


@pytest.fixture
def run(config):
    with Device(MEDIUM) as device:
        model = ReferencePipeline(config, MEDIUM, update_latency_cycles=update_latency())
        made = Comparison(device, model, CompareResult("", {}), dump_every=1_500, keep_orders=True)
        made.begin()
        yield made


def packed(session):
    return Packer(per_packet=1).pack_all(
        b.select(at, min(at + 700, len(b))) for b in session for at in range(0, len(b), 700)
    )


def test_compare_with_the_device_ahead_finds_what_it_finds_in_step(session, config):
    found = []
    for way in ("ahead", "in step"):
        with Device(MEDIUM) as device:
            model = ReferencePipeline(config, MEDIUM, update_latency_cycles=update_latency())
            run = Comparison(device, model, CompareResult("", {}), dump_every=1_500, keep_orders=True)
            seen = []
            run.observers.append(lambda frames, traces, seen=seen: seen.append((len(frames), len(traces["book"]))))
            run.begin()
            if way == "ahead":
                run.run_all(packed(session))
            else:
                for frames in packed(session):
                    run.run(frames)
            run.finish()
        found.append((run.result.as_json(), run.order_frames, seen))
    assert found[0] == found[1]
    assert found[0][0]["mismatches"] == 0 and found[0][0]["messages"] == 6_000
    assert found[0][0]["coverage"]["full_dumps"] == 5 and found[0][0]["orders"] > 20 and len(found[0][2]) > 100


def test_compare_sees_a_host_action_that_the_model_would_have_written_otherwise(session, run):
    honest = run._side._act

    def wrong(device, action):
        run._side._next_seq += 1
        return honest(device, action)

    run._side._act = wrong
    run.run_all(packed([session[0].select(0, 120)]))
    assert run.result.mismatches >= 1
    assert run.result.first_mismatch.stage == "host action acknowledge"


def test_compare_ends_after_the_piece_with_the_first_difference(session, run):
    told = []
    honest = run.device.traces
    run.device.traces = lambda: {stage: rows[:-1] if stage == "feed" else rows for stage, rows in honest().items()}
    run.run_all(packed(session), lambda: told.append(run.result.messages))
    assert run.different and len(told) == 1 and run.result.messages == told[0] < 100


@pytest.mark.parametrize("where", ["batches", "device", "model", "interrupt"])
def test_compare_that_fails_leaves_the_device_at_rest(session, run, where):
    class Broken(Exception):
        pass

    running = threading.Event()
    honest = run.device.run

    def slow(*arguments, **more):
        running.set()
        if where == "device" and run.result.messages:
            raise DeviceError("hung")
        honest(*arguments, **more)
        time.sleep(0.02)
        running.clear()

    run.device.run = slow

    def batches():
        for number, frames in enumerate(packed(session)):
            if where == "batches" and number == 2:
                raise Broken
            yield frames

    def told():
        if where == "model" and run.result.messages > 200:
            raise Broken
        if where == "interrupt" and run.result.messages > 200:
            assert running.wait(5)
            raise KeyboardInterrupt

    kind = {"device": DeviceError, "interrupt": KeyboardInterrupt}.get(where, Broken)
    with pytest.raises(kind):
        run.run_all(batches(), told)
    assert where == "device" or not running.is_set()
    assert run.result.mismatches == 0 and run.result.messages < 6_000
    assert threading.active_count() == 1


def test_one_ahead_makes_one_item_while_one_is_looked_at():
    made = []

    def items():
        for number in range(4):
            made.append(number)
            yield number

    with closing(one_ahead(items())) as ahead:
        assert next(ahead) == 0
        for _ in range(500):
            if made == [0, 1]:
                break
            time.sleep(0.01)
        assert made == [0, 1]
        assert list(ahead) == [1, 2, 3]
    assert list(one_ahead(iter(()))) == []


@pytest.mark.parametrize("usual_s", [0.005, 0.0001])
def test_one_ahead_makes_threads_take_turns_often_while_it_is_open(usual_s):
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(usual_s)
        with closing(one_ahead(iter((1, 2)))) as ahead:
            next(ahead)
            assert sys.getswitchinterval() == pytest.approx(min(usual_s, SWITCH_S), rel=0.05)
        assert sys.getswitchinterval() == pytest.approx(usual_s, rel=0.05)
    finally:
        sys.setswitchinterval(before)


def test_device_time_counts_the_making_of_the_batches(session, run):
    def batches():
        for frames in packed(session):
            began = time.thread_time_ns()
            while time.thread_time_ns() - began < 20_000_000:
                pass
            yield frames

    quiet = run.device_ns
    run.run_all(batches())
    assert run.device_ns - quiet > 20_000_000 * len(list(packed(session)))

"""Gateware equals the models, after every message, on real and generated sessions; and the comparison bites."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tickgate.sim.build import dump_memories
from tickgate.sim.compare import reproduce
from tickgate.sim.compare import run as compare_run
from tickgate.sim.compare.engine import Comparison
from tickgate.sim.compare.inputs import FeedIdentity, frames_of
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import CompareOptions, compare, update_latency
from tickgate.sim.device import Device
from tickgate.sw.files.binaryfile import open_writer
from tickgate.sw.files.block import block_of
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import FaultOptions, SessionOptions, apply_faults, blocks
from tickgate.sw.model.book import BookView
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import ReferencePipeline
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import TriggerFlag
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import LADDER
from tickgate.sw.spec.state import Anomaly, Drop, Validity

MEDIUM = LADDER["medium"]
CAPTURES = (
    "AddOrderNoMpidAttributionMessage",
    "MarketParticipantPositionMessage",
    "NetOrderImbalanceIndicatorMessage",
    "OrderDeleteMessage",
    "OrderReplaceMessage",
    "StockTradingActionMessage",
)
FAULTS = {
    "loss": FaultOptions(loss=0.002, seed=11),
    "duplicate": FaultOptions(duplicate=0.02, seed=12),
    "reorder": FaultOptions(reorder=0.01, seed=13),
    "corrupt_header": FaultOptions(corrupt_header=0.02, seed=14),
    "corrupt_length": FaultOptions(corrupt_length=0.01, seed=15),
    "corrupt_type": FaultOptions(corrupt_type=0.01, seed=16),
    "corrupt_payload": FaultOptions(corrupt_payload=0.02, seed=17),
    "error": FaultOptions(error=0.005, seed=18),
    "start": FaultOptions(start=5_000, seed=19),
}


def options(path, **more):
    return CompareOptions(
        path=Path(path), sizes=more.pop("sizes", MEDIUM), selection=more.pop("selection", Selection()), **more
    )


def session_blocks(messages, seed=3, symbols=8):
    return list(blocks(SessionOptions(seed=seed, symbols=symbols, messages=messages)))


@pytest.fixture(scope="module")
def session():
    return session_blocks(12_000)


@pytest.fixture(scope="module")
def session_config(session):
    """A configuration under which every reject reason occurs."""
    derived = derive_config(lambda: (m for block in session for m in block), MEDIUM)
    return replace(demo_config(derived), feed=FeedIdentity().row())


def comparison(device, config):
    model = ReferencePipeline(config, device.sizes, update_latency_cycles=update_latency())
    return Comparison(device, model, CompareResult("", {}), dump_every=4_000)


@pytest.fixture
def session_file(tmp_path, session):
    path = tmp_path / "session.itch"
    with open_writer(path) as writer:
        for block in session:
            writer.write_block(block)
    return path


# Real data.


@pytest.mark.long
def test_compare_real_aapl_file_is_equal_on_a_valid_book(data_dir):
    result, _ = compare(options(data_dir / "itch" / "real_aapl_20200130_pre.itch"))
    assert (result.mismatches, result.messages, result.below_floor) == (0, 10_000, [])
    assert result.valid_share >= 0.99 and result.orders >= 100
    assert result.floor is not None


def test_compare_simulated_file_is_equal_and_counts_unknown_references(data_dir):
    result, _ = compare(options(data_dir / "itch" / "simulated_20101224.itch"))
    assert (result.mismatches, result.messages) == (0, 12_012)
    assert result.anomalies["unknown_reference"] == 117


def test_compare_start_of_day_directory_is_equal(data_dir):
    result, _ = compare(options(data_dir / "itch" / "real_directory_start_of_day.itch"))
    assert (result.mismatches, result.messages) == (0, 1_000)


@pytest.mark.parametrize("name", CAPTURES)
def test_compare_real_capture_is_equal(data_dir, name):
    result, _ = compare(options(data_dir / "pcap" / f"nsm-itch50-{name}.pcap"))
    assert (result.mismatches, result.messages) == (0, 1)


# Generated sessions.


@pytest.mark.parametrize("pack", [1, 7, None])
def test_compare_generated_session_is_equal_however_it_is_packed(session_file, pack):
    result, _ = compare(options(session_file, pack=pack))
    assert (result.mismatches, result.messages) == (0, 12_000)
    assert result.valid_share > 0.98 and result.orders >= 50


def test_compare_with_the_order_port_held_up_is_equal_and_intents_wait(session, session_config):
    with Device(MEDIUM) as device:
        device.stall(0.9)
        run = comparison(device, session_config)
        run.begin()
        for frames in Packer().pack_all(session):
            run.run(frames)
        run.finish()
        counters = device.counters()
    assert run.result.first_mismatch is None
    assert counters["intents_held"] > 0 and counters["intents_too_old"] + counters["intents_busy"] > 0


def test_compare_of_the_shortest_messages_back_to_back_loses_no_event(session, session_config):
    """Nothing on the wire is denser than messages of 12 bytes, and each of these concerns every slot."""
    rng = random.Random(12)
    start = [message[:5] + bytes(6) + message[11:] for block in session for message in block][:4_000]  # at one time
    shortest = [
        lambda: itch.SYSTEM_EVENT.pack(stock_locate=0, tracking_number=0, timestamp_ns=0, event_code=b"Q"),
        lambda: itch.MWCB_STATUS.pack(stock_locate=0, tracking_number=0, timestamp_ns=0, breached_level=b"1"),
        lambda: b"A" + bytes(11),  # of a wrong length
        lambda: b"D" + bytes(11),
    ]
    dense = [rng.choice(shortest)() for _ in range(6_000)]
    mixed = [rng.choice(shortest)() if rng.random() < 0.6 else rng.choice(start) for _ in range(6_000)]
    with Device(MEDIUM) as device:
        run = comparison(device, replace(session_config, actions=()))
        run.begin()
        for frames in Packer(packet_bytes=1_472).pack_all([block_of([*start, *dense, *mixed])]):
            run.run(frames)
        run.finish()
        counters = device.counters()
    assert run.result.first_mismatch is None
    assert run.result.messages == 16_000
    assert counters["drop_event_overflow"] == 0


def test_compare_demo_configuration_reaches_every_active_reason(session, session_config):
    with Device(MEDIUM) as device:
        run = comparison(device, session_config)
        run.begin()
        for frames in Packer(per_packet=1).pack_all(session):
            run.run(frames)
        run.finish()
    assert run.result.first_mismatch is None
    wanted = {r.name.lower() for r in Reason if r & ACTIVE_REASONS}
    missing = {r for r in wanted if not run.result.rejects[r]}
    assert missing <= {"crossed", "rate_session", "rate_symbol"}, missing  # a short session may lack these
    assert run.result.dumps >= 3


def test_compare_sessions_with_each_fault_are_equal_and_reach_causes_bits_and_anomalies(session, session_config):
    config = replace(session_config, actions=())
    drops, bits, anomalies = set(), set(), set()
    for name, fault in FAULTS.items():
        frames = [f for batch in Packer(per_packet=3).pack_all(session) for f in batch]
        spoiled = list(apply_faults(iter(frames), fault))
        batch = frames_of((f.time_ns, f.data) for f in spoiled)
        errors = np.array([f.error for f in spoiled], dtype=np.uint8)
        with Device(MEDIUM) as device:
            run = comparison(device, config)
            run.begin()
            run.run(batch, errors)
            run.finish()
        assert run.result.first_mismatch is None, f"{name}: {run.result.first_mismatch}"
        drops |= set(run.result.drops)
        anomalies |= set(run.result.anomalies)
        bits |= {bit for bit, count in run.result.by_bit.items() if count}
    assert {b.name for b in Validity} - bits <= {"OVERFLOW", "CLEARING"}
    assert {a.name.lower() for a in Anomaly if a} <= anomalies
    missing = {d.name.lower() for d in Drop} - drops
    # Line B is not driven here, nothing sweeps in mid-session, and the book keeps up with line rate.
    assert missing <= {"line_busy", "clearing", "event_overflow"}


@pytest.mark.long
def test_compare_million_messages_over_64_of_500_symbols_is_equal(tmp_path):
    path = tmp_path / "million.itch"
    with open_writer(path) as writer:
        for block in blocks(SessionOptions(seed=64, symbols=500, messages=1_000_000)):
            writer.write_block(block)
    result, _ = compare(options(path, sizes=LADDER["large"], selection=Selection(top=64)))
    assert (result.first_mismatch, result.messages, result.overflows) == (None, 1_000_000, 0)
    assert result.dumps >= 100 and result.orders >= 1_000


@pytest.mark.soak
def test_compare_ten_million_messages_is_equal(tmp_path):
    path = tmp_path / "ten_million.itch"
    with open_writer(path) as writer:
        for block in blocks(SessionOptions(seed=65, symbols=500, messages=10_000_000)):
            writer.write_block(block)
    result, _ = compare(options(path, sizes=LADDER["large"], selection=Selection(top=64)))
    assert (result.first_mismatch, result.messages, result.overflows) == (None, 10_000_000, 0)


# The device by itself.


def test_device_reset_in_mid_run_rejects_everything_at_once(session, session_config):
    batch = next(iter(Packer(per_packet=1).pack_all(session)))
    config = replace(session_config, actions=())
    with Device(MEDIUM) as device:
        device.load(config)
        device.run(batch.select(0, 6_000))
        device.drain()
        assert len(list(device.frames())) > 0
        device.reset()
        device.clear()
        device.run(batch.select(6_000, len(batch)))
        device.drain()
        assert list(device.frames()) == [] and len(device.traces()["risk"]) == 0
        # Loaded again but not armed, and without limits: every intent is rejected, for each limit that is missing.
        bare = replace(config, armed=False, gate={}, slots=tuple(replace(s, limits={}) for s in config.slots))
        device.load(bare)
        device.clear()
        device.run(batch)
        device.drain()
        reasons = device.traces()["risk"]["reasons"]
        wanted = Reason.KILL | Reason.MAX_QUANTITY | Reason.MAX_NOTIONAL | Reason.COLLAR | Reason.RATE_SYMBOL
        assert len(reasons) > 0 and bool(
            (reasons & int(wanted | Reason.RATE_SESSION) == int(wanted | Reason.RATE_SESSION)).all()
        )
        assert list(device.frames()) == []


# The comparison bites.


class OffByOneLevel(BookView):
    """A model that puts bids of one slot a level too low."""

    def commit_symbol(self, slot, row):
        wrong = {**row, "base_e4": row["base_e4"] + row["tick_e4"]} if slot == 1 and row else row
        return super().commit_symbol(slot, wrong)


def test_compare_with_a_wrong_model_reports_the_first_message_and_shrinks_it(session_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tickgate.sw.model.pipeline.BookView", OffByOneLevel)
    monkeypatch.setattr(reproduce, "SECONDS", 3.0)
    monkeypatch.setattr(reproduce.shrink, "__defaults__", (3.0,))
    result, _ = compare(options(session_file, limit=3_000, work=tmp_path / "work"))
    assert not result.equal and result.first_mismatch.stage == "book"
    assert result.reproducer is not None
    itch, toml = result.reproducer.split()[2], Path(result.reproducer.split()[4])
    again, _ = compare(options(itch, config=toml, work=tmp_path / "again"))
    assert again.mismatches > 0 and again.messages < 400
    monkeypatch.undo()
    right, _ = compare(options(itch, config=toml))
    assert right.mismatches == 0


@pytest.mark.parametrize("stage", ["feed", "itch", "book", "trigger", "risk", "orders"])
def test_compare_sees_one_flipped_bit_in_each_stage(session, session_config, stage):
    batch = next(iter(Packer(per_packet=1).pack_all(session))).select(0, 4_000)
    with Device(MEDIUM) as device:
        run = comparison(device, replace(session_config, actions=()))
        run.begin()
        honest = device.traces

        def flipped():
            found = dict(honest())
            spoiled = found[stage].copy()
            name = {"feed": "length", "itch": "quantity", "book": "bid_qty", "trigger": "condition", "risk": "reasons",
                    "orders": "user_ref"}[stage]  # fmt: skip
            spoiled[name][len(spoiled) // 2] ^= 1
            found[stage] = spoiled
            return found

        device.traces = flipped
        run.run(batch)
    assert run.result.mismatches >= 1 and run.result.first_mismatch.stage == stage


@pytest.mark.parametrize("done", ["once too few", "once too many"])
def test_compare_sees_that_the_trigger_is_not_told_of_the_end_of_each_intent(session, session_config, done):
    batch = next(iter(Packer(per_packet=1).pack_all(session))).select(0, 4_000)
    flag = int(TriggerFlag.DONE)
    with Device(MEDIUM) as device:
        run = comparison(device, replace(session_config, actions=()))
        run.begin()
        honest = device.traces

        def doctored():
            found = dict(honest())
            records = found["trigger"].copy()
            ends = np.flatnonzero(records["flags"] & flag)
            assert len(ends) > 2
            if done == "once too few":
                records["flags"][ends[-1]] ^= flag
                records = records[records["flags"] > 0]
            else:
                records["flags"][ends[-1] + 1 :][:1] |= flag
            found["trigger"] = records
            return found

        device.traces = doctored
        run.run(batch)
    assert run.result.mismatches >= 1
    assert run.result.first_mismatch.stage == "trigger" and "DONE" in run.result.first_mismatch.found


def test_compare_sees_a_wrong_byte_on_the_wire(session, session_config):
    batch = next(iter(Packer(per_packet=1).pack_all(session))).select(0, 4_000)
    with Device(MEDIUM) as device:
        run = comparison(device, replace(session_config, actions=()))
        run.begin()
        honest = device.frames

        def wrong(*arguments):
            frames = list(honest(*arguments))
            cycle, frame = frames[-1]
            return iter([*frames[:-1], (cycle, frame[:-1] + bytes([frame[-1] ^ 1]))])

        device.frames = wrong
        run.run(batch)
    assert run.result.first_mismatch.stage == "order bytes"


def test_compare_sees_a_wrong_entry_in_a_dump(session, session_config):
    batch = next(iter(Packer(per_packet=1).pack_all(session))).select(0, 2_000)
    with Device(MEDIUM) as device:
        run = comparison(device, replace(session_config, actions=()))
        run.begin()
        run.run(batch)
        honest = device.memories

        def wrong():
            found = honest()
            present = next(m.width for m in dump_memories(MEDIUM) if m.name == "way0") - 1
            row = next(row for row, word in enumerate(found["way0"]) if word >> present)
            found["way0"][row] ^= 1  # the lowest bit of a live order's reference
            return found

        device.memories = wrong
        run.finish()
    assert run.result.first_mismatch.stage.startswith("dump of orders")
    assert run.result.dumps == 1


def test_floor_missed_is_a_difference(monkeypatch, session_file):
    monkeypatch.setattr(
        compare_run.floors, "floor_of", lambda path: {"valid_share": 1.1, "orders": 10**9, "rejects": ["credit"]}
    )
    result, _ = compare(options(session_file, limit=None))
    assert result.mismatches == 0 and not result.equal and len(result.below_floor) == 3


def test_symbol_row_without_a_tick_cannot_be_packed():
    with pytest.raises(ValueError, match="symbol_row.tick takes 0 to 7"):
        SYMBOL_ROW.pack({"tick": 8})

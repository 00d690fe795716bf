"""The engine `gateware` of `tickgate bbo` says what the true book says, wherever the device calls the book valid."""

import argparse

import numpy as np
import pytest
from model_flow import add, binaryfile, delete, directory, feed_frame, flow, frame, mold

from tickgate.sim import bbo_engine
from tickgate.sw.cli.main import main
from tickgate.sw.files import pcap
from tickgate.sw.files.binaryfile import open_writer
from tickgate.sw.files.opening import open_source
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.bbo import bbo_rows
from tickgate.sw.spec.errors import UserError


def arguments(**more):
    chosen = {"size": "medium", "symbols": None, "locates": None, "top": None, "start": 0, "limit": None}
    return argparse.Namespace(**{**chosen, **more})


def device_rows(path, **more):
    return list(bbo_engine.rows(str(path), arguments(**more)))


def model_rows(path):
    with open_source(path) as source:
        return list(bbo_rows(source.items()))


def disagreements(device, model):
    """(messages at which a locate was valid in the device, those of them at which its prices are not the model's)."""
    locates = {row[1] for row in device}
    merged = sorted([(r[0], 0, r) for r in model if r[1] in locates] + [(r[0], 1, r) for r in device])
    book, told = {}, {}
    valid, wrong = 0, []
    for position, (index, side, row) in enumerate(merged):
        (told if side else book)[row[1]] = row[2:]
        if position + 1 < len(merged) and merged[position + 1][0] == index:
            continue
        for locate, state in told.items():
            if state[4]:
                valid += 1
                if state[:4] != book.get(locate, (0, 0, 0, 0))[:4]:
                    wrong.append((index, locate))
    return valid, wrong


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = tmp_path_factory.mktemp("bbo") / "session.itch"
    with open_writer(path) as writer:
        for block in blocks(SessionOptions(seed=5, symbols=12, messages=20_000)):
            writer.write_block(block)
    return path


def test_rows_of_a_session_are_the_models_wherever_valid(session):
    found = device_rows(session)
    assert len({row[1] for row in found}) == 8  # the busiest of twelve
    valid, wrong = disagreements(found, model_rows(session))
    assert valid > 10_000
    assert not wrong
    assert all(a != b[2:] for a, b in zip(_states_before(found), found, strict=True))


def _states_before(rows):
    before = {}
    for row in rows:
        yield before.get(row[1], (0, 0, 0, 0, 1))
        before[row[1]] = row[2:]


def test_disagreement_of_one_price_is_seen(session):
    found = device_rows(session, top=1)
    at = next(i for i, row in enumerate(found) if row[6] and row[2])
    index, locate, bid, *rest = found[at]
    found[at] = (index, locate, bid + 100, *rest)
    assert disagreements(found, model_rows(session))[1][0] == (index, locate)


def test_rows_of_a_real_file_are_the_models(data_dir):
    path = data_dir / "itch" / "real_aapl_20200130_pre.itch"
    found = device_rows(path)
    assert len(found) > 1_000
    assert found == [row for row in model_rows(path) if row[1] in {r[1] for r in found}]


def test_rows_are_those_of_the_messages_asked_for(session):
    everything = device_rows(session, locates="3,4")
    assert {row[1] for row in everything} == {3, 4}
    some = device_rows(session, locates="3,4", start=5_000, limit=300)
    assert some == [row for row in everything if 5_000 <= row[0] < 5_300]
    assert some


def test_gap_makes_every_locate_that_has_a_row_invalid_with_the_next_message(tmp_path):
    path = tmp_path / "gap.pcap"
    with pcap.open_writer(path) as writer:
        writer.write(0, feed_frame(1, [directory(1, "A"), directory(2, "B"), add(1, "B", 10, 100)]))
        writer.write(1, feed_frame(9, [directory(3, "C"), add(2, "B", 10, 90)]))
    rows = device_rows(path)
    assert rows == [(2, 1, 100, 10, 0, 0, 1), (3, 1, 100, 10, 0, 0, 0)]
    assert rows == model_rows(path)


def test_unknown_types_count_and_wrong_lengths_end_validity(tmp_path):
    path = tmp_path / "odd.pcap"
    messages = [directory(1, "A"), b"z" * 20, add(1, "B", 10, 100), delete(1)[:-1], add(2, "B", 5, 90), delete(1)]
    with pcap.open_writer(path) as writer:
        writer.write(0, frame(mold(1, messages)))
    assert device_rows(path) == [(2, 1, 100, 10, 0, 0, 1), (3, 1, 100, 10, 0, 0, 0), (5, 1, 90, 5, 0, 0, 0)]


def test_order_named_by_another_locate_ends_the_validity_of_both(tmp_path):
    path = tmp_path / "wrong.itch"
    messages = [directory(1, "A"), directory(2, "B"), add(7, "B", 10, 100), add(8, "S", 10, 200, 2)]
    messages += [delete(7, 2), add(9, "B", 10, 90, 1)]
    path.write_bytes(binaryfile(messages))
    assert device_rows(path) == [
        (2, 1, 100, 10, 0, 0, 1), (3, 2, 0, 0, 200, 10, 1), (4, 1, 100, 10, 0, 0, 0), (4, 2, 0, 0, 200, 10, 0),
    ]  # fmt: skip


def test_flow_with_wrong_messages_agrees_wherever_valid(tmp_path):
    path = tmp_path / "flow.itch"
    path.write_bytes(binaryfile(flow(4, 3_000, locates=(1, 2, 3, 4), wrong=0.001)))
    valid, wrong = disagreements(device_rows(path), model_rows(path))
    assert valid
    assert not wrong


def test_command_writes_the_rows(session, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    assert main(["bbo", str(session), "--engine", "gateware", "--top", "2", "-o", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "index,locate,bid_px,bid_qty,ask_px,ask_qty,valid"
    assert [tuple(map(int, line.split(","))) for line in lines[1:]] == device_rows(session, top=2)
    assert "rows from" in capsys.readouterr().out


def test_more_symbols_than_slots_are_refused(session):
    with pytest.raises(UserError, match="this size follows 1 to 4 symbols, not 5; choose another --size"):
        device_rows(session, size="small", top=5)


def test_slots_of_live_orders_are_forgotten_with_them():
    from tickgate.sw.files.dtypes import record_dtype
    from tickgate.sw.model.derive import derive_config
    from tickgate.sw.model.pipeline import ReferencePipeline
    from tickgate.sw.spec.events import TRACES
    from tickgate.sw.spec.sizes import LADDER

    messages = flow(6, 4_000, locates=(1, 2))
    config = derive_config(lambda: messages, LADDER["medium"]).config
    model = ReferencePipeline(config, LADDER["medium"])
    model.load()
    steps = model.frame(feed_frame(1, messages[:0]))
    for number, message in enumerate(messages, 1):
        steps += model.frame(feed_frame(number, [message], session=b"TICKGATE01"))
    maker = bbo_engine.RowMaker(config)
    itch = np.array([tuple(s.itch) for s in steps], dtype=record_dtype(TRACES["itch"]))
    book = np.array([tuple(s.book) for s in steps if s.book is not None], dtype=record_dtype(TRACES["book"]))
    assert list(maker.rows(itch, book))
    assert maker.index == len(messages)
    assert maker._slot_of.keys() == model.book.orders().keys()

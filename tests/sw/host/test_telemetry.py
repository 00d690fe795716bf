"""The host's end of telemetry: loss on both sides, figures, recordings."""

from collections import Counter

import pytest

from tickgate.sw.host.telemetry import TelemetryMonitor, TelemetryRecorder, percentile
from tickgate.sw.spec import net, telemetry
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import OrderItem
from tickgate.sw.spec.risk import Reason


def record(stage, number, **values):
    table = telemetry.RECORDS[stage]
    head = {"telemetry_class": telemetry.CLASSES.index(stage), "words": table.size // 8, "number": number}
    blank = {f.name: bytes(f.size) if not f.is_integer else 0 for f in table.fields}
    return table.pack(**{**blank, **head, **values})


def frame(sequence, *records, lost=0):
    header = telemetry.HEADER.pack(
        version=telemetry.VERSION, count=len(records), frame_sequence=sequence & 0xFFFFFFFF, lost=lost,
        records=b"".join(records),
    )  # fmt: skip
    return net.ETHERNET.pack(
        destination_mac=telemetry.DESTINATION_MAC, source_mac=telemetry.SOURCE_MAC, ethertype=telemetry.ETHERTYPE,
        payload=header,
    )  # fmt: skip


def verdict(number, latency=10, reasons=0):
    return record("risk", number, cycle=1000 + latency, stamp=1000, reasons=reasons)


def test_telemetry_monitor_counts_what_arrives():
    monitor = TelemetryMonitor()
    monitor.frame(frame(0, verdict(0), record("orders", 0, item=OrderItem.ORDER, cycle=9, stamp=2)))
    monitor.frame(frame(1, record("trigger", 0, flags=1, fired=1, cycle=5, stamp=1)))
    monitor.frame(frame(2, verdict(1, 30, Reason.KILL | Reason.STALE), record("orders", 1, item=OrderItem.INJECT)))
    monitor.frame(frame(3, record("orders", 2, item=OrderItem.KILLED)))
    found = monitor.summary(6.4)
    assert found["records"] == {"feed": 0, "itch": 0, "book": 0, "trigger": 1, "risk": 2, "orders": 3}
    assert (found["fired"], found["accepted"], found["orders"], found["injects"], found["killed"]) == (1, 1, 1, 1, 1)
    assert found["rejects"] == {"kill": 1, "stale": 1}
    assert found["latency"]["risk"]["cycles"] == {"p50": 10, "p99": 30, "p99.9": 30, "p99.99": 30, "p100": 30}
    assert found["latency"]["risk"]["ns"]["p50"] == 64.0 and found["latency"]["orders"]["count"] == 1
    assert "feed" not in found["latency"] and found["frames_lost"] == found["device_lost"] == 0


@pytest.mark.parametrize("first", (0, 0xFFFFFFFE))
def test_telemetry_monitor_counts_loss_on_both_sides(first):
    monitor = TelemetryMonitor()
    monitor.frame(frame(first, verdict(first)))
    monitor.frame(frame(first + 3, verdict((first + 9) & 0xFFFFFFFF), lost=5))
    assert (monitor.frames, monitor.frames_lost, monitor.device_lost) == (2, 2, 5)
    assert monitor.unsent == {"risk": 8}
    # One that was late after all, and one that came twice.
    assert monitor.frame(frame(first + 1, verdict(3))) == []
    assert (monitor.frames_lost, monitor.frames_late, monitor.records["risk"]) == (1, 1, 2)


def test_telemetry_monitor_counts_what_is_no_telemetry():
    monitor = TelemetryMonitor()
    whole = frame(0, verdict(0))
    for wrong in (b"", whole[:20], whole[:-1], whole[:14] + b"\xc1" + whole[15:]):
        assert monitor.frame(wrong) == []
    assert (monitor.malformed, monitor.frames) == (4, 0)


def test_percentile_is_the_least_value_that_is_enough():
    counts = Counter({5: 98, 7: 1, 900: 1})
    assert [percentile(counts, p) for p in (50, 98, 99, 99.9, 100)] == [5, 5, 7, 900, 900]
    with pytest.raises(ValueError, match="nothing was counted"):
        percentile(Counter(), 50)


def test_telemetry_recording_holds_every_record(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("tickgate.sw.host.telemetry.ROWS_KEPT", 10)
    monitor = TelemetryMonitor()
    with TelemetryRecorder(tmp_path / "new" / "run") as recorder:
        for number in range(25):
            recorder.add(monitor.frame(frame(number, verdict(number, number), record("feed", number, length=7))))
    table = parquet.read_table(tmp_path / "new" / "run" / "risk.parquet")
    assert table["number"].to_pylist() == list(range(25)) and table["cycle"].to_pylist()[24] == 1024
    assert "padding" not in table.column_names
    assert parquet.read_table(tmp_path / "new" / "run" / "feed.parquet")["length"].to_pylist() == [7] * 25
    assert sorted(p.name for p in (tmp_path / "new" / "run").iterdir()) == ["feed.parquet", "risk.parquet"]


def test_telemetry_recording_into_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; a recording is a folder"):
        TelemetryRecorder(tmp_path / "file")

"""`tickgate device` over the model: every action, its JSON, and mistakes in one line with status 2."""

import json

import pytest

from tickgate.sw.cli.main import main
from tickgate.sw.host import transport
from tickgate.sw.host.model_transport import ModelTransport
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec import net, registers, telemetry
from tickgate.sw.spec.sizes import LADDER

TOML = """
[[slot]]
locate = 13
symbol = "AAPL"
tick_e4 = 100
base_e4 = 3100000

[slot.limits]
max_quantity = 500
"""


@pytest.fixture
def device(monkeypatch):
    """One device that outlives the commands."""
    made = ModelTransport(Registers(LADDER["small"], build_id=0xABC))
    monkeypatch.setattr("tickgate.sw.host.model_transport.open_model", lambda argument: made)
    return made


@pytest.fixture
def limits(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text(TOML)
    return path


def run(capsys, *words, status=0):
    assert main(["device", *map(str, words), "--via", "model"]) == status
    captured = capsys.readouterr()
    return captured.err if status == 2 else captured.out


def as_json(capsys, *words, status=0):
    return json.loads(run(capsys, *words, "--json", status=status))


def test_device_status_tells_who_it_is(device, capsys):
    found = as_json(capsys, "status")
    assert found["map_hash"] == f"{registers.map_hash():#010x}" and found["build_id"] == "0x0000000000000abc"
    assert found["sizes"] == {"slots": 4, "orders": 1024, "levels": 256, "stash": 16}
    assert found["armed"] is False and found["core_clock_khz"] == 156_250
    text = run(capsys, "status")
    assert "killed: no order leaves" in text and "156.25 MHz" in text


def test_device_is_armed_and_killed(device, capsys):
    assert "armed" in run(capsys, "arm") and device.registers.armed
    assert as_json(capsys, "kill") == {"armed": False} and not device.registers.armed


def test_device_registers_and_counters(device, capsys):
    device.registers.values["orders"] = 1234
    assert as_json(capsys, "regs")["size_slots"] == 4
    assert "0x0" in run(capsys, "regs")
    assert run(capsys, "counters").split() == ["orders", "1,234"]
    assert len(run(capsys, "counters", "--all").splitlines()) == len(registers.counter_names())
    assert as_json(capsys, "counters")["orders"] == 1234


def test_device_limits_diff_apply_show(device, limits, capsys):
    out = run(capsys, "limits", "diff", limits, status=1)
    assert "slot 0 limits: max_quantity 0 -> 500" in out and device.registers.rows == {}
    assert "2 rows changed and read back" in run(capsys, "limits", "apply", limits)
    assert run(capsys, "limits", "diff", limits) == "nothing would change\n"
    assert as_json(capsys, "limits", "diff", limits) == {"changes": []}
    assert "nothing to change" in run(capsys, "limits", "apply", limits)
    shown = run(capsys, "limits", "show")
    assert "max_quantity = 500" in shown and as_json(capsys, "limits", "show")["toml"] == shown
    limits.write_text(TOML.replace("500", "400"))
    (change,) = as_json(capsys, "limits", "apply", limits)["changes"]
    assert change == {"row": "limits", "slot": 0, "side": 0, "fields": {"max_quantity": {"before": 500, "after": 400}}}


def frame(sequence):
    table = telemetry.RECORDS["orders"]
    blank = {f.name: bytes(f.size) if not f.is_integer else 0 for f in table.fields}
    record = table.pack(**{**blank, "telemetry_class": 5, "words": table.size // 8, "number": sequence, "cycle": 40})
    header = telemetry.HEADER.pack(version=1, count=1, frame_sequence=sequence, lost=0, records=record)
    return net.ETHERNET.pack(destination_mac=0, source_mac=0, ethertype=telemetry.ETHERTYPE, payload=header)


def test_device_telemetry_is_counted_shown_and_recorded(device, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    device.waiting = [frame(n) for n in range(20)]
    words = ("telemetry", "--seconds", "0.2", "--mask", "0x3f", "--every", "1", "--record", tmp_path / "run")
    found = as_json(capsys, *words)
    assert found["orders"] == 20 and found["frames_lost"] == 0 and found["latency"]["orders"]["cycles"]["p50"] == 40
    assert found["latency"]["orders"]["ns"]["p50"] == 256.0
    assert parquet.read_table(tmp_path / "run" / "orders.parquet").num_rows == 20
    assert device.registers.values["telemetry_mask"] == 0x3F
    device.waiting = [frame(n) for n in range(5)]
    out = run(capsys, "telemetry", "--seconds", "0.6")
    assert "5 frames, 0 lost on the way" in out and "0 accepted, 5 orders" in out


@pytest.mark.parametrize(
    ("words", "message"),
    (
        (("limits", "apply", "/nowhere/limits.toml"), "no such file: /nowhere/limits.toml"),
        (("status", "--build", "zz"), "--build takes a hexadecimal build id, not 'zz'"),
        (("status", "--build", "abd"), "the device is the build 0x0000000000000abc, not 0x0000000000000abd"),
        (("status", "--timeout", "0"), "--timeout takes seconds above 0, not 0"),
        (("telemetry", "--seconds", "-1"), "--seconds takes a time above 0, not -1"),
        (("telemetry", "--mask", "many"), "takes a number, not 'many'"),
        (("telemetry", "--mask", "0x100"), "the register 'telemetry_mask' takes 0 to 0xff, not 0x100"),
    ),
)
def test_device_mistakes_are_told_in_a_line(device, capsys, words, message):
    err = run(capsys, *words, status=2)
    assert message in err and "Traceback" not in err


def test_device_limits_file_with_a_mistake_is_refused_before_anything_is_written(device, limits, capsys):
    limits.write_text(TOML.replace("max_quantity", "max_quantty"))
    assert "did you mean 'max_quantity'" in run(capsys, "limits", "apply", limits, status=2)
    assert device.registers.rows == {}


def test_device_of_an_older_map_is_refused(device, capsys):
    device.registers.values["map_hash"] = registers.MAP_HISTORY[1]
    err = run(capsys, "status", status=2)
    assert "another register map" in err and "the device is older: map version 1" in err


def test_device_help_names_every_transport(capsys):
    assert main(["device", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}: " in out for name in transport.BUILTIN)
    assert main(["device", "limits", "apply", "--help"]) == 0
    assert "all of it or nothing" in capsys.readouterr().out


def test_device_without_a_transport_or_with_an_unknown_one_is_a_mistake(capsys):
    assert main(["device", "status"]) == 2
    assert "--via" in capsys.readouterr().err
    assert main(["device", "status", "--via", "pigeon:1"]) == 2
    assert "no transport 'pigeon'; the transports are model, sim" in capsys.readouterr().err


def test_device_transport_that_is_not_installed_names_the_extra(monkeypatch, capsys):
    for extra, words in (("sim", "tickgate[sim]"), (None, "with its drivers")):
        monkeypatch.setitem(transport.BUILTIN, "model", ("tickgate.no_such_part:open", "", extra))
        assert main(["device", "status", "--via", "model"]) == 2
        err = capsys.readouterr().err
        assert "is not part of this installation" in err and words in err

"""Measuring the device's speed runs the whole session, and tells devices apart that compute different things."""

from pathlib import Path

from tickgate.sim import build, device_speed
from tickgate.sim.device_speed import Measured, main, measure
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named

MEDIUM = sizes_named(DEFAULT_SIZE)


def test_devices_take_the_same_session_in_turns():
    library = build.shared_object(MEDIUM)
    one, other = measure([library, library], MEDIUM, 3000)
    assert one.library == other.library == library
    assert one.digest == other.digest and len(one.rates) == len(other.rates) > 0
    assert min(one.rates + other.rates) > 0
    assert measure([library], MEDIUM, 2500)[0].digest != one.digest


def test_figures_are_ratios_to_the_first_and_a_difference_is_told(monkeypatch, capsys):
    asked = []

    def stand_in(libraries, sizes):
        asked.extend(libraries)
        rates = [[100.0, 300.0, 200.0], [400.0, 150.0, 220.0]]
        return [
            Measured(path, r, f"{n * differ:064x}") for n, (path, r) in enumerate(zip(libraries, rates, strict=False))
        ]

    monkeypatch.setattr(device_speed, "measure", stand_in)
    for differ in (0, 1):
        assert main(["/old.so", "new.so"]) == differ
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "200 messages/s (median of 3 pieces, 100 to 300), 1.000 times the first, output 0000000000000000"
    )
    assert second.startswith("220 messages/s (median of 3 pieces, 150 to 400), 1.100 times the first")
    assert asked[1] == Path.cwd() / "new.so" and second.endswith(f": {asked[1]}")
    monkeypatch.setattr(build, "shared_object", lambda sizes: Path("/built.so"))
    assert main([]) == 0 and asked[-1] == Path("/built.so")

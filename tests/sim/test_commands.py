"""The commands of simulation and hardware explain themselves, and refuse a stage that does not exist."""

import pytest

from tickgate.sw.cli.main import main


@pytest.mark.parametrize("command", ["sim", "audit", "verilog", "timing"])
def test_help_of_a_command_names_its_options(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"tickgate {command}" in text and "--stage" in text and "--json" in text


@pytest.mark.parametrize("command", ["sim", "audit", "verilog", "timing"])
def test_a_stage_that_does_not_exist_is_refused(command, capsys):
    assert main([command, "--stage", "bok"]) == 2
    said = capsys.readouterr().err
    assert "bok" in said and "Traceback" not in said

"""What was built equals the reference: real messages through the synthesised device. Its compilation takes minutes."""

import re

import pytest

from tickgate.hw import netlist
from tickgate.sim.compare.run import CompareOptions, compare
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec.sizes import LADDER

SIZES = LADDER["small"]
MESSAGES = 2_000


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory) -> str:
    return netlist.synthesised(SIZES, tmp_path_factory.mktemp("netlist")).text


def _compared(text, data, tmp_path):
    path = tmp_path / "device.v"
    path.write_text(text)
    return compare(
        CompareOptions(
            path=data / "itch" / "real_aapl_20200130_pre.itch",
            sizes=SIZES,
            selection=Selection(top=1),
            limit=MESSAGES,
            via=f"netlist:{path}",
            work=tmp_path,
        )
    )[0]


@pytest.mark.soak
def test_the_synthesised_device_equals_the_model(synthesised, data_dir, tmp_path):
    result = _compared(synthesised, data_dir, tmp_path)
    assert (result.first_mismatch, result.messages) == (None, MESSAGES)
    assert result.orders > 0 and result.valid_share >= 0.99


@pytest.mark.soak
def test_one_wrong_cell_is_found(synthesised, data_dir, tmp_path):
    # A look-up table of the book's levels gives the opposite.
    cell = re.search(r"\.INIT\(16'h([0-9a-f]{4})\)\n  \) \\book\.levels", synthesised)
    assert cell
    wrong = f"{int(cell.group(1), 16) ^ 0xFFFF:04x}"
    text = synthesised[: cell.start(1)] + wrong + synthesised[cell.end(1) :]
    assert _compared(text, data_dir, tmp_path).mismatches > 0

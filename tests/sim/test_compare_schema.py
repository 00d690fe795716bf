"""What `tickgate compare --json` prints is what its schema says."""

import json
from pathlib import Path

import jsonschema
import pytest

from tickgate.sim.compare.result import CompareResult
from tickgate.sw.spec.sizes import LADDER
from tickgate.sw.spec.state import Validity

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/reference/compare.schema.json").read_text())


def result(**values):
    return CompareResult("day.itch", {"toml": "armed = true\n", "sizes": dict(LADDER["medium"].__dict__)}, **values)


def filled():
    made = result(messages=100, compared=312, on_slots=90, valid=88, orders=3, overflows=1, dumps=2)
    made.types.update({"A": 60, "D": 39, "0x00": 1})
    made.skipped.update({"unknown_type": 1})
    made.by_bit.update({bit.name: 1 for bit in Validity})
    made.rejects.update({"stale": 2})
    made.drops.update({"duplicate": 4})
    made.anomalies.update({"unknown_reference": 1})
    made.fired.update({"take": 5})
    made.latency_cycles = {"actionable/order": {"count": 3, "min": 30, "median": 31, "p99": 40, "max": 40}}
    made.rate_msgs_s, made.device_msgs_s = 21_000.5, 150_000.0
    made.floor = {"valid_share": 0.99, "orders": 100, "rejects": ["stale"]}
    made.below_floor = ["3 orders sent, the floor is 100"]
    made.notes.append("the file has no trading action (H) of some symbols: they are assumed to trade")
    made.note_mismatch(17, "book", {"bid_qty": 100}, {"bid_qty": 200})
    made.reproducer = "tickgate compare build/compare/day-17-book.itch"
    return made


@pytest.mark.parametrize("made", (result(), filled()), ids=("empty", "filled"))
def test_compare_json_is_valid_by_its_schema(made):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(json.dumps(made.as_json())), SCHEMA)


def test_compare_schema_names_every_key_and_no_other():
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == set(filled().as_json())


def test_compare_schema_refuses_what_is_not_stated():
    wrong = filled().as_json() | {"surprise": 1}
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(wrong, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(filled().as_json() | {"mismatches": -1}, SCHEMA)

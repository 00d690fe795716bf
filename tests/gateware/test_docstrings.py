"""Every component's docstring says what its signature is: names, directions, shapes."""

import gc
import re

import pytest
from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow

from tickgate.gateware.build import STAGES
from tickgate.gateware.lib.layouts import RowPort, counters, elastic, flow
from tickgate.gateware.registers import Bus
from tickgate.gateware.top import Top
from tickgate.sw.report import docstrings
from tickgate.sw.spec import events, rows
from tickgate.sw.spec.sizes import Sizes

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)
RECORDS = {name: value for module in (events, rows) for name, value in vars(module).items() if name.isupper()}


@pytest.fixture(autouse=True)
def collected():
    """Components that no design uses are told when they go: they go within the test."""
    yield
    gc.collect()


def component(stage):
    return Top(SIZES) if stage == "top" else STAGES[stage](SIZES, frozenset())


def shape_of(text, made):
    """The member's shape as its documentation writes it; None where the text leaves it open."""
    if re.fullmatch(r"\d+", text):
        return int(text)
    if text == "Bus()":
        return Bus()
    if text == "counters(COUNTERS)":
        return counters(made.COUNTERS)
    port = re.fullmatch(r"(flow|elastic|RowPort)\(([A-Z_]+)\)", text)
    if port is None:
        return None
    return {"flow": flow, "elastic": elastic, "RowPort": RowPort}[port[1]](RECORDS[port[2]])


def same_shape(member, shape):
    if not member.is_port:
        signature = member.signature.flip() if member.flow is Flow.In else member.signature
        return type(signature) is type(shape) and dict(signature.members.items()) == dict(shape.members.items())
    return Shape.cast(member.shape) == Shape.cast(shape)


def differences(made):
    documented = docstrings.entries(type(made).__doc__ or "")
    wrong = []
    members = dict(made.signature.members.items())
    for name, member in members.items():
        found = [d for d in documented if d.matches(name)]
        if not found:
            wrong.append(f"{name} is not documented")
            continue
        stated = re.match(r"(In|Out)\((.*)", found[0].text)
        if stated is None:
            continue  # one of several on the same line: the last of them has the shape
        if (stated[1] == "In") != (member.flow is Flow.In):
            wrong.append(f"{name} is documented as {stated[1]}")
        text = re.match(r"(?:[\w]+\([\w()]*\)|\w+)(?=\))", stated[2])
        shape = shape_of(text[0], made) if text else None
        if shape is not None and not same_shape(member, shape):
            wrong.append(f"{name} is documented as {text[0]}")
    for entry in documented:
        if not any(entry.matches(name) for name in members):
            wrong.append(f"{entry.name} is documented and is no member")
    return wrong


@pytest.mark.parametrize("stage", STAGES)
def test_docstring_members_are_those_of_the_signature(stage):
    assert differences(component(stage)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_docstring_names_parameters_and_errors(stage):
    doc = type(component(stage)).__doc__
    assert docstrings.summary(doc)
    assert "faults" in {p.name for p in docstrings.entries(doc, "Parameters")}
    assert docstrings.section(doc, "Raises")


@pytest.mark.parametrize("stage", STAGES)
def test_docstring_latency_rows_name_ports(stage):
    made = component(stage)
    for source, sink, _ in getattr(made, "latency_cycles", {}):
        for port in (source, sink):
            assert port.split("__")[0] in made.signature.members


class Liar(wiring.Component):
    """A component with every mistake.

    Members
    -------
    right: In(8), it is.
    width: In(8), it has 9.
    way: Out(1), it is an input.
    gone: Out(1).
    """

    COUNTERS = ()

    def __init__(self):
        super().__init__({name: wiring.In(bits) for name, bits in (("right", 8), ("width", 9), ("way", 1), ("new", 1))})


def test_docstring_check_finds_every_kind_of_difference():
    assert differences(Liar()) == [
        "width is documented as 8",
        "way is documented as Out",
        "new is not documented",
        "gone is documented and is no member",
    ]


def test_docstring_entries_read_lists_lines_and_continuations():
    text = """One line.

    Members
    -------
    a, b: In(1), both.
    mask: In(8), bit a stage. every: In(16), 0 none.
    i_<stage>: In(flow(record)),
        which goes on.

    Raises
    ------
    ValueError: never.
    """
    found = docstrings.entries(text)
    assert [(m.name, m.text) for m in found] == [
        ("a", "In(1), both."),
        ("b", "In(1), both."),
        ("mask", "In(8), bit a stage."),
        ("every", "In(16), 0 none."),
        ("i_<stage>", "In(flow(record)), which goes on."),
    ]
    assert found[-1].matches("i_book") and not found[-1].matches("o_book")
    assert docstrings.section(text, "References") == ""

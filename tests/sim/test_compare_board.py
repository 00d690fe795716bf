"""A comparison over one transport, as with a board: everything that is on the wire is compared, and it bites."""

import json

import pytest

from tickgate.sim.compare import board, run
from tickgate.sim.compare.inputs import frames_of
from tickgate.sim.compare.run import CompareOptions, compare
from tickgate.sim.device import CONTROL_PORT, ORDERS_PORT, TELEMETRY_PORT, Device, DeviceError
from tickgate.sim.transport import STEP_CYCLES, SimTransport
from tickgate.sw.cli import main as launcher
from tickgate.sw.files.binaryfile import open_writer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec import control
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import LADDER

SMALL = LADDER["small"]


class SimBoard(SimTransport):
    """A simulated device whose roles share one port, as on a board: feed line B, control, orders and telemetry."""

    spoil = None

    def send(self, frame):
        if control.is_control(frame):
            self.device.control(frame)
        else:
            self.device.run(frames_of([(0, frame)]), line=1)

    def receive(self, timeout_s):
        found = []
        for _ in range(1000 if timeout_s else 1):
            self.device.step(STEP_CYCLES)
            if any(True for _ in self.device.frames(CONTROL_PORT)):
                break
        self.device.drain()
        for port in (ORDERS_PORT, TELEMETRY_PORT, CONTROL_PORT):
            found += [self.spoil(frame, port) if self.spoil else frame for _, frame in self.device.frames(port)]
        self.device.clear()
        return [frame for frame in found if frame]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = tmp_path_factory.mktemp("session") / "session.itch"
    with open_writer(path) as writer:
        for block in blocks(SessionOptions(seed=3, symbols=4, messages=1_500)):
            writer.write_block(block)
    return path


@pytest.fixture
def bench(monkeypatch):
    """What `--via board:` opens; `made` are the transports so far."""
    made = []

    def open_board(via, faults=frozenset()):
        transport = SimBoard(Device(SMALL, faults=faults), owned=True)
        transport.name = via
        made.append(transport)
        return transport

    monkeypatch.setattr(run, "open_transport", open_board)
    monkeypatch.setattr("tickgate.sim.cli.compare.open_transport", open_board)
    open_board.made = made
    return open_board


def options(session, **more):
    return CompareOptions(session, SMALL, Selection(top=4), via="board:1", pack=1, **more)


@pytest.mark.long
def test_session_through_one_port_equals_the_models(session, bench):
    result, _ = compare(options(session))
    assert result.equal and result.messages == 1_500 and result.orders > 20 and result.dumps == 0
    whole = compare(CompareOptions(session, SMALL, Selection(top=4), pack=1))[0]
    # Frames come slower here, so that cooldowns and rates let other orders pass; the book is the same.
    figures = [(r.messages, r.types, r.valid, r.on_slots) for r in (result, whole)]
    assert figures[0] == figures[1]
    assert any("over board:1 (a simulated design): 1,500 frames sent" in note for note in result.notes)


def test_device_that_tells_nothing_of_feed_itch_and_book_is_compared_by_what_follows(session, bench, monkeypatch):
    monkeypatch.setattr(board, "_ALL_CLASSES", 0b111000)
    result, comparison = compare(options(session))
    assert result.equal and result.messages == 1_500 and result.orders > 20
    assert comparison.device.fills
    assert any("it tells nothing of feed, itch, book" in note for note in result.notes)


def test_verdict_that_differs_is_found_where_the_book_tells_nothing(session, bench, monkeypatch):
    monkeypatch.setattr(board, "_ALL_CLASSES", 0b111000)
    count = [0]

    def spoil(frame, at):
        count[0] += at == ORDERS_PORT
        return frame[:-1] + bytes([frame[-1] ^ 1]) if at == ORDERS_PORT and count[0] == 5 else frame

    monkeypatch.setattr(SimBoard, "spoil", staticmethod(spoil))
    assert "order bytes" in compare(options(session))[0].first_mismatch.stage


def test_only_levels_and_the_line_are_left_out():
    assert set(board.ABSENT["feed"]) == {"pad", "port"}
    assert all("level" in n or n.startswith(("old_", "new_", "far_", "off_")) for n in board.ABSENT["book"])
    assert not any(board.ABSENT[stage] for stage in ("itch", "trigger", "risk", "orders"))


@pytest.mark.parametrize("port, stage", [(ORDERS_PORT, "order bytes"), (TELEMETRY_PORT, "feed")])
def test_a_bit_that_differs_on_the_wire_is_found(session, bench, monkeypatch, port, stage):
    count = [0]

    def spoil(frame, at):
        count[0] += at == port
        if at == port and count[0] == 40:
            return frame[:-1] + bytes([frame[-1] ^ 1]) if port == ORDERS_PORT else frame[:55] + b"\x77" + frame[56:]
        return frame

    monkeypatch.setattr(SimBoard, "spoil", staticmethod(spoil))
    result, _ = compare(options(session, limit=1_000))
    assert result.mismatches and (stage in result.first_mismatch.stage or port == TELEMETRY_PORT)


def test_an_order_that_does_not_come_back_is_found(session, bench, monkeypatch):
    count = [0]

    def spoil(frame, at):
        count[0] += at == ORDERS_PORT
        return b"" if at == ORDERS_PORT and count[0] == 3 else frame

    monkeypatch.setattr(SimBoard, "spoil", staticmethod(spoil))
    assert "order bytes" in compare(options(session, limit=1_000))[0].first_mismatch.stage


def test_telemetry_that_does_not_arrive_is_an_error_and_no_difference(session, bench, monkeypatch):
    count = [0]

    def spoil(frame, at):
        count[0] += at == TELEMETRY_PORT
        return b"" if at == TELEMETRY_PORT and count[0] == 50 else frame

    monkeypatch.setattr(SimBoard, "spoil", staticmethod(spoil))
    with pytest.raises(DeviceError, match="telemetry records of .* did not arrive"):
        compare(options(session, limit=1_000))


def test_device_is_killed_and_quiet_in_the_end(session, bench, monkeypatch):
    monkeypatch.setattr(SimBoard, "close", lambda self: None)
    compare(options(session, limit=200))
    device = bench.made[-1].device
    assert not device.read("status") & 1 and device.read("telemetry_every") == 0
    device.close()


def test_stall_is_refused(session, bench):
    with pytest.raises(UserError, match="--stall is for simulated devices"):
        compare(options(session, stall=0.5))


def test_what_is_not_on_the_wire_is_refused_or_nothing(bench):
    with board.BoardDevice(bench("board:1")) as device:
        assert not device.has_memories and device.order_ends() == []
        with pytest.raises(DeviceError, match="a board's memories cannot be read"):
            device.memories()
        with pytest.raises(UserError, match="host messages cannot be sent"):
            device.inject(b"")


def test_command_takes_the_sizes_from_the_device(session, bench, capsys):
    assert launcher.main(["compare", str(session), "--via", "board:1", "--limit", "300", "--top", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mismatches"] == 0


@pytest.mark.parametrize("via", ["sim:small", "model"])
def test_transport_without_a_feed_is_refused(session, capsys, via):
    assert launcher.main(["compare", str(session), "--via", via]) == 2
    assert "is a control role without a feed" in capsys.readouterr().err


def test_transport_unknown_is_refused_with_the_names(session, capsys):
    assert launcher.main(["compare", str(session), "--via", "carrier:pigeon"]) == 2
    assert "no transport 'carrier'" in capsys.readouterr().err

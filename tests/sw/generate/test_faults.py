"""Each kind of fault does to the frames what it says, and nothing else."""

from collections import Counter
from itertools import pairwise

import pytest

from tickgate.sw.files.frames import locate_udp
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import FaultOptions, Faults, Frame, SessionOptions, apply_faults, blocks
from tickgate.sw.generate.damage import HEADER_DAMAGE
from tickgate.sw.generate.faults import RATES
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.state import Drop

# Hand-typed offsets of an untagged frame: Ethernet 14, IPv4 20, UDP 8, MoldUDP64 20, length 2.
MOLD = 42
SEQUENCE = slice(52, 60)
COUNT = slice(60, 62)
BLOCK = 62
MESSAGE = 64
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40,
    "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip


def packed(per_packet: int | None) -> list[tuple[int, bytes]]:
    options = SessionOptions(messages=12_000, seed=9)
    return [frame for frames in Packer(per_packet=per_packet).pack_all(blocks(options)) for frame in frames]


@pytest.fixture(scope="module")
def single() -> list[tuple[int, bytes]]:
    """One message a frame: the sequence number tells each frame from the others."""
    return packed(1)


@pytest.fixture(scope="module")
def full() -> list[tuple[int, bytes]]:
    return packed(None)


def sequence(frame: Frame | tuple[int, bytes]) -> int:
    return int.from_bytes(frame[1][SEQUENCE], "big")


def changed(before: list[tuple[int, bytes]], after: list[Frame]) -> list[tuple[bytes, bytes]]:
    assert len(before) == len(after)
    return [(old[1], new.data) for old, new in zip(before, after, strict=True) if old[1] != new.data]


def run(frames: list[tuple[int, bytes]], **rates: float) -> tuple[list[Frame], Counter[str]]:
    counts: Counter[str] = Counter()
    out = list(apply_faults(frames, FaultOptions(**rates), counts))  # type: ignore[arg-type]
    assert counts["frames_in"] == len(frames) and counts["frames_out"] == len(out)
    assert all(early.time_ns <= late.time_ns for early, late in pairwise(out))
    return out, counts


def test_no_fault_leaves_every_frame_as_it_was(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single)
    assert out == [(time_ns, data, False) for time_ns, data in single]
    assert set(counts) == {"frames_in", "frames_out"}
    assert not FaultOptions().any and FaultOptions(start=1).any and FaultOptions(error=0.1).any


def test_equal_options_give_equal_frames_and_kinds_are_independent(single: list[tuple[int, bytes]]) -> None:
    rates = dict.fromkeys(RATES, 0.02)
    assert run(single, **rates) == run(single, **rates)
    assert run(single, **rates)[0] != run(single, **rates, seed=2)[0]
    alone, both = run(single, loss=0.05)[0], run(single, loss=0.05, error=0.5)[0]
    assert [frame[:2] for frame in alone] == [frame[:2] for frame in both]


def test_loss_takes_frames_out(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, loss=0.05)
    assert 0.04 < counts["loss"] / len(single) < 0.06
    assert len(out) == len(single) - counts["loss"]
    assert {frame[:2] for frame in out} < set(single)
    assert [sequence(frame) for frame in out] == sorted(sequence(frame) for frame in out)


def test_loss_of_everything_leaves_nothing(single: list[tuple[int, bytes]]) -> None:
    assert run(single, loss=1.0)[0] == []


def test_duplicates_come_within_four_frames(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, duplicate=0.05)
    seen: dict[int, int] = {}
    repeats = 0
    for position, frame in enumerate(out):
        number = sequence(frame)
        if number in seen:
            repeats += 1
            assert frame.data == out[seen[number]].data and position - seen[number] <= 10
        seen[number] = position
    assert repeats == counts["duplicate"] > 400 and len(out) == len(single) + repeats


def test_reordered_frames_all_arrive_but_late(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, reorder=0.05)
    numbers = [sequence(frame) for frame in out]
    assert sorted(numbers) == [sequence(frame) for frame in single] and numbers != sorted(numbers)
    assert max(abs(number - place) for place, number in enumerate(numbers, 1)) <= 10
    assert counts["reorder"] > 400


def test_header_damage_is_of_every_kind_and_the_feed_drops_it(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, corrupt_header=0.2)
    assert {what for what, _ in HEADER_DAMAGE} == {name.split(".")[1] for name in counts if "." in name}
    assert sum(n for name, n in counts.items() if "." in name) == counts["corrupt_header"]
    causes: Counter[Drop | str] = Counter()
    for _old, new in changed(single, out):
        found = locate_udp(new)
        if isinstance(found, Drop):
            causes[found] += 1
        elif found.end - found.start < 20:
            causes["no MoldUDP64 header"] += 1
        else:
            causes["reaches MoldUDP64"] += 1
    assert sum(causes.values()) == counts["corrupt_header"]
    expected = {
        Drop.RUNT, Drop.ETHERTYPE, Drop.IP_VERSION, Drop.IP_OPTIONS, Drop.IP_FRAGMENT, Drop.IP_PROTOCOL,
        Drop.IP_CHECKSUM, Drop.LENGTH, Drop.TRUNCATED, "no MoldUDP64 header", "reaches MoldUDP64",
    }  # fmt: skip
    assert set(causes) == expected


def test_damaged_addresses_sessions_and_numbers_pass_the_headers_before_them(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, corrupt_header=0.2)
    fields: Counter[str] = Counter()
    for old, new in changed(single, out):
        if len(new) != len(old) or isinstance(locate_udp(new), Drop):
            continue
        fields["destination_ip"] += old[30:34] != new[30:34]
        fields["destination_port"] += old[36:38] != new[36:38]
        fields["session"] += old[MOLD : MOLD + 10] != new[MOLD : MOLD + 10]
        fields["count"] += old[COUNT] != new[COUNT]
        shift = int.from_bytes(new[SEQUENCE], "big") - int.from_bytes(old[SEQUENCE], "big")
        fields["sequence"] += shift != 0
        assert abs(shift) <= 3
    for name, count in fields.items():
        assert count == counts[f"corrupt_header.{name}"] > 20, name


def test_damaged_length_is_short_past_the_end_or_one_more(full: list[tuple[int, bytes]]) -> None:
    out, counts = run(full, corrupt_length=0.2)
    kinds: Counter[str] = Counter()
    for old, new in changed(full, out):
        places = [i for i in range(len(old)) if old[i] != new[i]]
        assert len(old) == len(new) and 1 <= len(places) <= 2
        position = BLOCK
        while position + 1 < places[0]:
            position += 2 + int.from_bytes(old[position : position + 2], "big")
        length = int.from_bytes(new[position : position + 2], "big")
        was = int.from_bytes(old[position : position + 2], "big")
        if length < 12:
            kinds["short"] += 1
        elif length == was + 1:
            kinds["one_more"] += 1
        else:
            assert position + 2 + length > len(old)
            kinds["overrun"] += 1
    assert set(kinds) == {"short", "overrun", "one_more"}
    # The last block made one longer reaches past the end, but is counted by what was done to it.
    assert sum(kinds.values()) == counts["corrupt_length"]


def test_damaged_type_is_unknown_or_of_another_length(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, corrupt_type=0.1)
    kinds: Counter[str] = Counter()
    for old, new in changed(single, out):
        assert old[:MESSAGE] == new[:MESSAGE] and old[MESSAGE + 1 :] == new[MESSAGE + 1 :]
        length = LENGTHS.get(chr(new[MESSAGE]))
        assert length != len(new) - MESSAGE
        kinds["unknown" if length is None else "wrong_length"] += 1
    assert kinds == {name.split(".")[1]: n for name, n in counts.items() if "." in name}
    assert min(kinds.values()) > 300


def test_damaged_payload_changes_one_field_of_an_order_message(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, corrupt_payload=0.3)
    found: Counter[str] = Counter()
    for old, new in changed(single, out):
        kind, message, was = chr(new[MESSAGE]), new[MESSAGE:], old[MESSAGE:]
        assert kind in "AFECXDU" and old[:MESSAGE] == new[:MESSAGE] and kind == chr(was[0])
        differing = {i for i in range(len(was)) if was[i] != message[i]}
        if differing <= {1, 2}:
            found["locate"] += 1
        elif kind in "AF" and differing == {19}:
            assert message[19:20] == b"X"
            found["side"] += 1
        elif kind in "AF" and differing <= set(range(20, 24)) or kind in "ECX" and differing <= set(range(19, 23)):
            found["zero" if not any(message[20 if kind in "AF" else 19 :][:4]) else "excess"] += 1
        elif differing == {11}:
            found["reference"] += 1
        elif kind in "AF" and differing <= set(range(32, 36)):
            found["price_zero" if not any(message[32:36]) else "price"] += 1
    assert min(found[what] for what in ("locate", "side", "zero", "excess", "reference", "price", "price_zero")) > 5
    assert counts["corrupt_payload.duplicate_reference"] > 20
    assert len(changed(single, out)) == counts["corrupt_payload"]


def test_error_marks_frames_and_leaves_their_bytes(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, error=0.1)
    assert [frame[:2] for frame in out] == single
    assert sum(frame.error for frame in out) == counts["error"] > 1_000


def test_start_drops_the_packets_before_a_message(single: list[tuple[int, bytes]]) -> None:
    out, counts = run(single, start=5_000)
    assert sequence(out[0]) == 5_001 and len(out) == len(single) - 5_000 == len(single) - counts["start"]


def test_start_keeps_the_packet_that_holds_the_message(full: list[tuple[int, bytes]]) -> None:
    out, _ = run(full, start=5_000)
    first = sequence(out[0])
    assert first <= 5_001 < first + int.from_bytes(out[0].data[COUNT], "big")


def test_frames_that_are_no_market_data_pass_undamaged() -> None:
    strange = [(1, b""), (2, b"\xff" * 60), (3, packed(1)[0][1][:50])]
    rates = {name: 1.0 for name in RATES if name.startswith("corrupt")}
    out, _ = run(strange, **rates, start=10)
    assert [frame.data for frame in out] == [data for _, data in strange]


def test_heartbeats_and_the_end_of_the_session_are_damaged_in_their_headers_only(
    single: list[tuple[int, bytes]],
) -> None:
    heartbeat = single[9][1][:BLOCK]
    heartbeat = heartbeat[: COUNT.start] + b"\0\0"
    total, length = (20 + 8 + 20).to_bytes(2, "big"), (8 + 20).to_bytes(2, "big")
    heartbeat = heartbeat[:16] + total + heartbeat[18:24] + b"\0\0" + heartbeat[26:38] + length + heartbeat[40:]
    words = sum(int.from_bytes(heartbeat[i : i + 2], "big") for i in range(14, 34, 2))
    words = (words & 0xFFFF) + (words >> 16)
    heartbeat = heartbeat[:24] + (~((words & 0xFFFF) + (words >> 16)) & 0xFFFF).to_bytes(2, "big") + heartbeat[26:]
    assert not isinstance(locate_udp(heartbeat), Drop)
    ending = heartbeat[: COUNT.start] + b"\xff\xff"
    frames = [(1, heartbeat), (2, ending)]
    out, _ = run(frames, corrupt_type=1.0, corrupt_length=1.0, corrupt_payload=1.0)
    assert [frame.data for frame in out] == [heartbeat, ending]
    assert run(frames, start=9)[0] and not run(frames, start=10)[0]
    assert run([(1, heartbeat)] * 50, corrupt_header=1.0)[1]["corrupt_header"] == 50


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": 1.5}, "loss is a share of the frames, 0 to 1, not 1.5"),
        ({"corrupt_header": float("nan")}, "corrupt-header is a share of the frames"),
        ({"start": -1}, "start counts messages from 0"),
        ({"seed": -1}, "fault seed must be from 0"),
    ],
)
def test_option_out_of_range_is_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(UserError, match=text):
        FaultOptions(**options)  # type: ignore[arg-type]


def test_counts_are_kept_by_the_injector_too(single: list[tuple[int, bytes]]) -> None:
    faults = Faults(FaultOptions(loss=0.5))
    assert len(list(faults.apply(single))) == faults.counts["frames_out"]

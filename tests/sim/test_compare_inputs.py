"""Frames given one by one become the frames of a buffer, whatever they hold."""

import random

import numpy as np
import pytest

from tickgate.sim.compare import inputs
from tickgate.sim.compare.inputs import frames_of
from tickgate.sw.files import pcap
from tickgate.sw.files.block import block_of
from tickgate.sw.files.packer import Addressing, Packer
from tickgate.sw.spec import mold


def usual(sequence=7, messages=2, **more):
    return Addressing(**more).frame(sequence, [b"S" + bytes(11)] * messages)


def spoiled(rng, frame):
    """The frame with one bit wrong, cut, or padded."""
    kind = rng.randrange(4)
    if kind == 0:
        return frame[: rng.randrange(len(frame))]
    if kind == 1:
        return frame + bytes(rng.randrange(12))
    at = rng.randrange(min(len(frame), 66))
    return frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1 :]


def test_frames_of_any_frames_keeps_them_and_tells_their_sequence_numbers():
    rng = random.Random(5)
    frames = []
    for number in range(4_000):
        frame = usual(rng.choice((1, number, 2**63 + number)), rng.randrange(3), vlan=rng.choice((None, None, 9)))
        frames.append(spoiled(rng, frame) if rng.random() < 0.7 else frame)
    frames.append(Addressing().frame(12, [], count=mold.END_OF_SESSION))
    made = frames_of(enumerate(frames))
    assert [frame for _, frame in made] == frames
    assert made.times_ns.tolist() == list(range(len(frames)))
    assert (made.offsets % 8 == 0).all() and len(made.data) % 8 == 0
    told = list(zip(made.first_sequence.tolist(), made.counts.tolist(), strict=True))
    assert told == [inputs._sequence(frame) for frame in frames]
    assert sum(first > 0 for first, _ in told) > 1_000


def test_frames_of_the_usual_form_are_read_without_looking_at_them_one_by_one(monkeypatch):
    monkeypatch.setattr(inputs, "_sequence", None)
    made = frames_of((0, usual(number, 1)) for number in range(1, 50))
    assert made.first_sequence.tolist() == list(range(1, 50)) and made.counts.tolist() == [1] * 49


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """A capture of more frames than are read at once, some of them of an unusual form."""
    rng = random.Random(6)
    messages = block_of([b"S" + bytes(11)] * 20_000)
    frames = [frame for batch in Packer(per_packet=1).pack_all([messages]) for _, frame in batch]
    for number in range(0, 20_000, 50):
        frames[number] = spoiled(rng, frames[number])
    path = tmp_path_factory.mktemp("capture") / "capture.pcap"
    with pcap.open_writer(path) as writer:
        for number, frame in enumerate(frames):
            writer.write(number, frame)
    return path, frames


@pytest.mark.parametrize(
    "start, limit", [(0, None), (0, 3), (3, None), (8_000, 12_000), (19_999, None), (0, 0), (20_000, 5)]
)
def test_batches_of_a_capture_are_its_frames_from_start_to_limit(capture, start, limit):
    path, frames = capture
    batches = list(inputs.Input(path, start=start, limit=limit).batches())
    assert all(0 < len(batch) <= inputs.BATCH for batch in batches)
    found = [packet for batch in batches for packet in batch]
    wanted = list(enumerate(frames))[start : None if limit is None else start + limit]
    assert found == wanted
    told = [pair for b in batches for pair in zip(b.first_sequence.tolist(), b.counts.tolist(), strict=True)]
    assert told == [inputs._sequence(frame) for _, frame in wanted]


def test_frames_of_nothing_is_no_frames():
    made = frames_of([])
    assert len(made) == 0 and made.data.dtype == np.uint8

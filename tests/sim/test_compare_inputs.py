"""Frames given one by one become the frames of a buffer, whatever they hold."""

import random

import numpy as np

from tickgate.sim.compare import inputs
from tickgate.sim.compare.inputs import frames_of
from tickgate.sw.files.packer import Addressing
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


def test_frames_of_nothing_is_no_frames():
    made = frames_of([])
    assert len(made) == 0 and made.data.dtype == np.uint8

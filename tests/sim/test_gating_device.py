"""The device as it is simulated does what the plain device does, to the cycle."""

from dataclasses import replace

import numpy as np
import pytest

from tickgate.sim.compare.inputs import FeedIdentity, frames_of
from tickgate.sim.device import Device
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import FaultOptions, SessionOptions, apply_faults, blocks
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named

MEDIUM = sizes_named(DEFAULT_SIZE)
MESSAGES = 1_500


@pytest.fixture(scope="module")
def session():
    return list(blocks(SessionOptions(seed=5, symbols=8, messages=MESSAGES)))


@pytest.fixture(scope="module")
def config(session):
    derived = derive_config(lambda: (m for block in session for m in block), MEDIUM)
    return replace(demo_config(derived), feed=FeedIdentity().row(), actions=())


def shown(device, session, config):
    """All that leaves the device, with its cycles, and its counters and memories, for a session on line A and, behind a
    reset, one with faults on line B while the order port is held up."""
    found = []
    for line, fault, pack in ((0, FaultOptions(), 1), (1, FaultOptions(corrupt_payload=0.02, error=0.01, seed=7), 3)):
        device.load(config)
        frames = [f for batch in Packer(per_packet=pack).pack_all(session) for f in batch]
        spoiled = list(apply_faults(iter(frames), fault))
        device.run(
            frames_of((f.time_ns, f.data) for f in spoiled),
            errors=np.array([f.error for f in spoiled], dtype=np.uint8),
            line=line,
        )
        device.drain()
        found.append({stage: records.tobytes() for stage, records in device.traces().items()})
        found.append(device.words().tobytes())
        found.append(device.counters())
        found.append(device.memories())
        device.clear()
        device.stall(0.5, seed=3)
        device.reset()
    return found, device.cycle


def test_device_is_the_plain_one_to_the_cycle(session, config):
    with Device(MEDIUM) as gated, Device(MEDIUM, waves=True) as plain:
        (ours, cycle), (theirs, expected) = (shown(device, session, config) for device in (gated, plain))
    assert cycle == expected
    assert min(len(records) for records in ours[0].values()) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one == other

"""Whatever the bytes of a file are: it is read, or refused as the user's mistake; nothing else happens."""

import gzip
from collections.abc import Callable
from pathlib import Path

import oracle_pcap
import pytest
import sample_feed
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_feed import mold, tcp_frame, udp_frame

from tickgate.sw.files.opening import open_source
from tickgate.sw.files.packer import Packer
from tickgate.sw.files.render import itch_record
from tickgate.sw.files.summary import FeedSummary
from tickgate.sw.spec import ouch, soup
from tickgate.sw.spec.errors import UserError

FEED = sample_feed.every_type(3)
FRAMES = [
    udp_frame(mold(1, FEED[:10])),
    udp_frame(mold(11, FEED[10:40]), tag=bytes.fromhex("81000005"), trailer=b"stamp"),
    udp_frame(mold(41, FEED[40:])),
    udp_frame(mold(1 + len(FEED), [], count=0xFFFF)),
    tcp_frame(soup.build(soup.UNSEQUENCED_DATA, payload=ouch.build(ouch.CANCEL_ORDER, user_ref=1, quantity=0))),
]
ORIGINALS = {
    "itch": sample_feed.binaryfile(FEED),
    "gzip": gzip.compress(sample_feed.binaryfile(FEED), mtime=0),
    "pcap": oracle_pcap.build([(number, 0, frame) for number, frame in enumerate(FRAMES)]),
    "pcapng": oracle_pcap.section()
    + oracle_pcap.interface(options=oracle_pcap.option(9, b"\x09") + oracle_pcap.option(0, b""))
    + b"".join(oracle_pcap.enhanced(number, frame) for number, frame in enumerate(FRAMES)),
}


def use(path: Path) -> None:
    """What the commands do with a file: count, render, pack."""
    summary, packer = FeedSummary(), Packer()
    with open_source(path) as source:
        for block in source.read_blocks():
            summary.add(block)
            packer.pack(block)
            for message in block:
                itch_record(message)
    packer.flush()
    summary.suggest_size()
    assert summary.messages == source.messages


def show(path: Path) -> None:
    """What `decode` does with a capture."""
    pytest.importorskip("scapy.packet", reason="scapy is not installed")
    from tickgate.sw.files.capture import CaptureReader

    with CaptureReader(path) as reader:
        for captured in reader:
            assert captured.record["message"]


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["change", "cut", "remove", "insert"])):
            case "change":
                data[place] = draw(st.integers(0, 255))
            case "cut":
                del data[place + 1 :]
            case "remove":
                if len(data) > 1:
                    del data[place]
            case "insert":
                data[place:place] = draw(st.binary(max_size=5))
    return bytes(data)


@pytest.mark.parametrize("kind", ORIGINALS)
@pytest.mark.parametrize("job", [use, show], ids=lambda job: job.__name__)
def test_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, job: Callable[[Path], None]
) -> None:
    path = tmp_path_factory.mktemp("damage") / "x"
    path.write_bytes(ORIGINALS[kind])
    if job is use or kind.startswith("pcap"):
        job(path)

    @settings(max_examples=60)
    @given(damaged(ORIGINALS[kind]))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            job(path)
        except UserError as error:
            assert 1 <= len(str(error).splitlines()) <= 2

    check()

"""The model of the feed stage: what each frame yields, and each cause for which one does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_flow import FEED_ROW, SESSION, add, delete, feed_frame, frame, mold

from tickgate.sw.model.feed import COUNTERS, Feed
from tickgate.sw.spec.events import FeedItem, Notice
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.state import Drop

A, B, C = add(1), delete(1), add(2)


def feed(first_seq=1):
    return Feed(FEED_ROW | {"first_seq": first_seq})


def told(deliveries):
    """Notices and messages in short: ("GAP", seq, count) or (seq, data)."""
    return [
        (Notice(r.notice).name, r.seq, r.count) if r.item == FeedItem.NOTICE else (r.seq, data)
        for r, data in deliveries
    ]  # fmt: skip


def counted(stage):
    return {name: count for name, count in stage.counters.items() if count}


def test_feed_packet_yields_its_messages_in_order():
    stage = feed(5)
    assert told(stage.frame(feed_frame(5, [A, B]))) == [(5, A), (6, B)]
    assert stage.expected == 7
    assert counted(stage) == {"frames": 1, "messages": 2}


def test_feed_counters_are_registers():
    assert set(COUNTERS) <= set(counter_names())


def test_feed_commit_tells_a_new_session():
    stage = Feed()
    assert stage.frame(feed_frame(1, [A])) == []
    assert told(stage.commit(FEED_ROW)) == [("NEW_SESSION", 0, 0)]
    assert told(stage.frame(feed_frame(1, [A]))) == [("SYNC", 1, 0), (1, A)]


HEAD = feed_frame(5, [A])
DROPS = {
    "RUNT": [HEAD[:61], HEAD[:13], b"", feed_frame(5, [], vlan=True)[:65], bytes(20)],
    "ETHERTYPE": [feed_frame(5, [A], ethertype=0x86DD), feed_frame(5, [A], vlan=True, ethertype=0x8100)],
    "IP_VERSION": [feed_frame(5, [A], version_ihl=0x65), feed_frame(5, [A], version_ihl=0x66)],
    "IP_OPTIONS": [feed_frame(5, [A], version_ihl=0x46)],
    "IP_FRAGMENT": [feed_frame(5, [A], fragment=0x2000), feed_frame(5, [A], fragment=1)],
    "IP_PROTOCOL": [feed_frame(5, [A], protocol=6)],
    "IP_CHECKSUM": [feed_frame(5, [A], spoil_checksum=1), feed_frame(5, [A], spoil_checksum=0x100)],
    "DESTINATION": [feed_frame(5, [A], ip=1), feed_frame(5, [A], port=1)],
    "LENGTH": [feed_frame(5, [A], **wrong) for wrong in ({"udp_length": 27}, {"udp_length": 67}, {"total_length": 10})],
    "SESSION": [feed_frame(5, [A], session=b"TICKGATE02")],
}  # fmt: skip


@pytest.mark.parametrize("cause", DROPS)
def test_feed_frame_that_is_not_the_feeds_is_dropped_by_cause(cause):
    for data in DROPS[cause]:
        stage = feed(5)
        assert stage.frame(data) == []
        assert counted(stage) == {"frames": 1, f"drop_{cause.lower()}": 1}


def test_feed_first_cause_in_order_wins():
    stage = feed(5)
    stage.frame(feed_frame(5, [A], version_ihl=0x46, protocol=6, ip=1, session=b"X" * 10))
    assert counted(stage) == {"frames": 1, "drop_ip_options": 1}


def test_feed_every_frame_cause_is_tried():
    assert list(DROPS) == [d.name for d in Drop if d <= Drop.SESSION]


def test_feed_tag_padding_and_trailer_change_nothing():
    for data in (feed_frame(5, [A], vlan=True), feed_frame(5, [A], trailer=b"x" * 20), feed_frame(5, [A], fragment=0)):
        assert told(feed(5).frame(data)) == [(5, A)]


def test_feed_duplicates_and_overlaps_yield_new_messages_only():
    stage = feed(5)
    stage.frame(feed_frame(5, [A, B]))
    assert told(stage.frame(feed_frame(5, [A, B]))) == []
    assert told(stage.frame(feed_frame(6, [B, C]))) == [(7, C)]
    assert stage.counters["drop_duplicate"] == 3


def test_feed_gap_is_told_once_in_front_of_the_packet():
    stage = feed(5)
    assert told(stage.frame(feed_frame(8, [A, B]))) == [("GAP", 5, 3), (8, A), (9, B)]
    assert counted(stage) == {"frames": 1, "messages": 2, "gaps": 1, "gap_messages": 3}


@pytest.mark.parametrize("count, counter", [(0, "heartbeats"), (0xFFFF, "session_ends")])
def test_feed_heartbeat_ahead_of_its_number_is_a_gap(count, counter):
    stage = feed(5)
    assert told(stage.frame(feed_frame(5, [], count))) == []
    assert told(stage.frame(feed_frame(7, [], count))) == [("GAP", 5, 2)]
    assert told(stage.frame(feed_frame(6, [], count))) == []
    assert stage.expected == 7
    assert stage.counters[counter] == 3


def test_feed_short_block_ends_its_packet():
    stage = feed(5)
    assert told(stage.frame(feed_frame(5, [A, b"x" * 11, B]))) == [(5, A)]
    assert counted(stage) == {"frames": 1, "messages": 1, "drop_block_short": 1}
    assert told(stage.frame(feed_frame(8, [C]))) == [("GAP", 6, 2), (8, C)]


def test_feed_block_beyond_the_udp_length_ends_its_packet():
    for data in (
        feed_frame(5, [A, B], count=3),  # a block that is not there
        frame(mold(5, [A, B], SESSION)[:-1]),  # a block that is cut
        frame(mold(5, [A], SESSION, 2) + b"\0"),  # half a length
    ):
        stage = feed(5)
        assert told(stage.frame(data))[0] == (5, A)
        assert stage.counters["drop_block_overrun"] == 1


def test_feed_bytes_behind_the_last_block_are_ignored():
    stage = feed(5)
    assert told(stage.frame(feed_frame(5, [A, B], count=1))) == [(5, A)]
    assert counted(stage) == {"frames": 1, "messages": 1}


def test_feed_frame_cut_before_the_udp_length_counts_what_came_whole():
    whole = feed_frame(5, [A, B])
    for size in range(62, len(whole)):
        stage = feed(5)
        expected = [(5, A)] if size >= 64 + len(A) else []
        assert told(stage.frame(whole[:size])) == expected, size
        assert stage.counters["drop_truncated"] == 1


def test_feed_duplicate_that_is_cut_is_not_counted():
    stage = feed(6)
    stage.frame(feed_frame(5, [A])[:-1])
    assert counted(stage) == {"frames": 1, "drop_truncated": 1}


def test_feed_error_frame_is_told_when_messages_of_it_were_used():
    stage = feed(5)
    assert told(stage.frame(feed_frame(5, [A]), error=True, port=1)) == [(5, A), ("FCS", 0, 0)]
    assert told(stage.frame(feed_frame(5, [A]), error=True)) == []
    assert stage.frame(HEAD[:20], error=True) == []
    assert counted(stage) == {
        "frames": 3, "messages": 1, "drop_error_frame": 3, "drop_duplicate": 1, "drop_runt": 1,
    }  # fmt: skip


def test_feed_line_b_frame_beside_line_a_is_not_looked_at():
    stage = feed(5)
    assert stage.frame(feed_frame(5, [A]), port=1, busy=True) == []
    assert counted(stage) == {"frames": 1, "drop_line_busy": 1}


def test_feed_port_of_a_line_is_in_its_records():
    assert [r.port for r, _ in feed(5).frame(feed_frame(7, [A]), port=1)] == [1, 1]


def test_feed_mark_takes_effect_in_front_of_its_message():
    stage = feed(5)
    stage.mark(6)
    assert told(stage.frame(feed_frame(5, [A, B]))) == [(5, A), ("MARK", 6, 0), (6, B)]
    assert stage.mark_seq is None


def test_feed_mark_that_a_gap_skipped_is_missed():
    stage = feed(5)
    stage.mark(6)
    assert told(stage.frame(feed_frame(7, [A]))) == [("GAP", 5, 2), (7, A)]
    assert stage.counters["marks_missed"] == 1
    assert stage.mark_seq is None


def test_feed_mark_at_the_first_message_stands_for_sync():
    stage = feed()
    stage.mark(1)
    assert told(stage.frame(feed_frame(1, [A]))) == [("MARK", 1, 0), (1, A)]
    stage = feed(0)
    stage.mark(0)
    assert told(stage.frame(feed_frame(1, [A]))) == [("GAP", 0, 1), ("SYNC", 1, 0), (1, A)]


def test_feed_sync_needs_the_type_byte_of_its_message():
    whole = feed_frame(1, [A])
    assert told(feed().frame(whole[:64])) == []
    assert told(feed().frame(whole[:65])) == [("SYNC", 1, 0)]


def test_feed_last_sequence_number_wraps():
    stage = feed((1 << 64) - 1)
    stage.frame(feed_frame((1 << 64) - 1, [A]))
    assert stage.expected == 0


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), max_size=30))
def test_feed_delivers_each_number_at_most_once_and_in_order(packets):
    stage = feed()
    seen = []
    missing = set()
    for first, count in packets:
        for record, _ in stage.frame(feed_frame(first, [A] * count)):
            if record.item == FeedItem.MESSAGE:
                seen.append(record.seq)
            elif record.notice == Notice.GAP:
                missing |= set(range(record.seq, record.seq + record.count))
    assert seen == sorted(set(seen))
    assert set(seen) | missing == set(range(1, stage.expected))
    assert not set(seen) & missing


@given(st.integers(0, 200), st.integers(0, 255))
def test_feed_takes_any_bytes(at, value):
    data = bytearray(feed_frame(1, [A, B, C]))
    data[at % len(data)] = value
    stage = feed()
    stage.frame(bytes(data))
    assert stage.counters["frames"] == 1

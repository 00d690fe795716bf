"""The model of the orders stage: bytes that an independent decoder reads, numbers that follow each other."""

import oracle_net
import oracle_ouch
import oracle_soup
import pytest

from tickgate.sw.model.orders import COUNTERS, INJECT_BYTES_MAX, Orders
from tickgate.sw.spec import net
from tickgate.sw.spec.events import NO_SLOT, ORDER, OrderItem
from tickgate.sw.spec.registers import counter_names

SESSION = {
    "open": 1, "src_mac": 0x020000000010, "dst_mac": 0x020000000020, "src_ip": net.ipv4("198.51.100.1"),
    "dst_ip": net.ipv4("198.51.100.2"), "src_port": 42277, "dst_port": 8001, "next_seq": 1000, "user_ref": 5,
    "cl_ord_id": int.from_bytes(b"TICKGATE      ", "big"),
}  # fmt: skip
PEER = {"ack_out": 77, "window_out": 500, "ack_in": 1000, "window_in": 120}
FIRM = {"firm": int.from_bytes(b"FIRM", "big")}


def order(side=0):
    return ORDER.tuple_type(
        3, int.from_bytes(b"AAPL    ", "big"), side, 3_211_500, 100, ord("3"), ord("Y"), ord("P"), 9, 0
    )


def stage(**more):
    orders = Orders(SESSION | more, PEER)
    orders.kill = False
    return orders


def test_orders_frame_is_an_enter_order():
    orders = stage()
    record, data = orders.order(order())
    assert record == (0, 0, 9, 5, 1000, 50, OrderItem.ORDER, 3)
    assert len(data) == 54 + 50
    fixed = data[:24] + bytes(2) + data[26:50] + bytes(2) + data[52:]  # without the two checksums
    assert fixed.hex() == (
        "020000000020" "020000000010" "0800" "4500005a0000400040060000" "c6336401" "c6336402"
        "a5251f41" "000003e8" "0000004d" "501801f4" "00000000"
        "0030" "55" "4f00000005" "42" "00000064" "4141504c20202020" "00000000003100ec" "33" "59" "50" "4e" "4e"
        "5449434b47415445202020202020" "0000"
    )  # fmt: skip


def test_orders_frame_is_read_by_decoders_of_their_own():
    data = stage(**FIRM).order(order(1))[1]
    segment = oracle_net.decode(data)
    assert (segment["sequence"], segment["acknowledgment"], segment["window"]) == (1000, 77, 500)
    assert (segment["flags"], segment["ttl"], segment["identification"]) == ({"P", "A"}, 64, 0)
    packet = oracle_soup.decode(segment["payload"], from_server=False)
    assert packet["name"] == "unsequenced_data"
    message = oracle_ouch.decode(segment["payload"][3:], inbound=True)
    assert (message["type"], message["symbol"], message["price_e4"]) == ("O", "AAPL", 3_211_500)
    assert (message["side"], message["quantity"], message["user_ref"]) == ("S", 100, 5)
    assert message["options"] == [(2, b"FIRM")]


class _CarryLost(Orders):
    """Planted fault: the IP header checksum misses a carry."""

    def _frame(self, payload):
        data = bytearray(super()._frame(payload))
        data[25] = data[25] + 1 & 0xFF
        return bytes(data)


def test_orders_decoder_finds_a_lost_carry():
    orders = _CarryLost(SESSION, PEER)
    orders.kill = False
    with pytest.raises(ValueError, match="IPv4 header checksum wrong"):
        oracle_net.decode(orders.order(order())[1])


def test_orders_firm_is_an_appendage():
    orders = stage(**FIRM)
    record, data = orders.order(order(1))
    assert record.length == orders.order_bytes == 56
    assert data[-8:] == b"\0\x06\x05\x02FIRM"
    assert data[62:63] == b"S"


def test_orders_numbers_follow_each_other():
    orders = stage()
    orders.order(order())
    record, data = orders.inject(b"\0\1R")
    assert record == (0, 0, 0, 0, 1050, 3, OrderItem.INJECT, NO_SLOT)
    assert data[54:] == b"\0\1R"
    assert orders.order(order())[0][3:5] == (6, 1053)
    assert orders.counters == dict.fromkeys(COUNTERS, 0) | {"orders": 2, "injects": 1}


def test_orders_numbers_wrap():
    orders = stage(next_seq=(1 << 32) - 10, user_ref=(1 << 32) - 1)
    orders.order(order())
    assert (orders.next_seq, orders.user_ref) == (40, 0)


def test_orders_killed_order_uses_no_number():
    orders = stage()
    orders.kill = True
    assert orders.order(order()) == ((0, 0, 9, 0, 0, 0, OrderItem.KILLED, 3), b"")
    assert (orders.next_seq, orders.user_ref, orders.counters["intents_killed"]) == (1000, 5, 1)


def test_orders_after_reset_the_session_is_closed_and_killed():
    orders = Orders()
    assert orders.kill
    assert not orders.session_ok


def test_orders_window_has_room_or_not():
    orders = stage()
    taken = []
    for _ in range(4):
        taken.append(orders.session_ok)
        orders.order(order())
    assert taken == [True, True, False, False]
    orders.commit_peer(PEER | {"ack_in": orders.next_seq})
    assert orders.session_ok
    orders.commit_session(SESSION | {"open": 0})
    assert not orders.session_ok


def test_orders_window_counts_modulo_the_sequence_space():
    orders = Orders(SESSION | {"next_seq": 5}, PEER | {"ack_in": (1 << 32) - 50})
    assert orders.session_ok
    orders.commit_peer(PEER | {"ack_in": (1 << 32) - 70})
    assert not orders.session_ok


@pytest.mark.parametrize("payload", [b"", bytes(INJECT_BYTES_MAX + 1)])
def test_orders_host_message_of_wrong_length_is_refused(payload):
    with pytest.raises(ValueError, match="1 to 74 bytes"):
        stage().inject(payload)


def test_orders_counters_are_registers():
    assert set(COUNTERS) <= set(counter_names())


def test_orders_poisoned_frame_leaves_no_trace_in_the_numbers():
    orders = stage()
    record, data = orders.order(order())
    assert orders.poison(record) == (0, 0, 9, 5, 1000, 50, OrderItem.POISONED, 3)
    assert (orders.next_seq, orders.user_ref) == (1000, 5)
    assert orders.order(order()) == (record, data)
    counted = {name: count for name, count in orders.counters.items() if count}
    assert counted == {"orders": 1, "orders_poisoned": 1}


@pytest.mark.parametrize("kill", [False, True])
def test_orders_void_order_is_dropped_whatever_the_kill_switch_says(kill):
    orders = stage()
    orders.kill = kill
    assert orders.order(order(), void=True) == ((0, 0, 9, 0, 0, 0, OrderItem.VOID, 3), b"")
    assert (orders.next_seq, orders.user_ref) == (1000, 5)
    assert (orders.counters["intents_void"], orders.counters["intents_killed"]) == (1, 0)

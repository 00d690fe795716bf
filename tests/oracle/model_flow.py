"""Messages, frames and seeded flows for the tests of the models, packed by hand like `sample_feed`."""

import random
import struct

from sample_feed import add, binaryfile, delete, execute, header, mold, replace  # noqa: F401

IP, PORT, SESSION = 0xE9360C6F, 26477, b"TICKGATE01"
FEED_ROW = {"dst_ip": IP, "dst_port": PORT, "session": int.from_bytes(SESSION, "big"), "first_seq": 1}


def add_mpid(reference, side="B", shares=100, price_e4=1_000_000, locate=1, stock="AAPL"):
    body = struct.pack(">QcI8sI4s", reference, side.encode(), shares, stock.ljust(8).encode(), price_e4, b"MPID")
    return header("F", locate, 0) + body


def execute_at(reference, shares, price_e4=1_000_000, printable="Y", locate=1):
    return header("C", locate, 0) + struct.pack(">QIQcI", reference, shares, 7, printable.encode(), price_e4)


def cancel(reference, shares, locate=1):
    return header("X", locate, 0) + struct.pack(">QI", reference, shares)


def trade(reference=0, side="B", shares=100, price_e4=1_000_000, locate=1, stock="AAPL"):
    body = struct.pack(">QcI8sIQ", reference, side.encode(), shares, stock.ljust(8).encode(), price_e4, 7)
    return header("P", locate, 0) + body


def trading_action(state, locate=1, stock="AAPL"):
    return header("H", locate, 0) + struct.pack(">8scc4s", stock.ljust(8).encode(), state.encode(), b" ", b"    ")


def operational_halt(action, locate=1, stock="AAPL", market="Q"):
    return header("h", locate, 0) + struct.pack(">8scc", stock.ljust(8).encode(), market.encode(), action.encode())


def system_event(code):
    return header("S", 0, 0) + code.encode()


def breaker(level="1"):
    return header("W", 0, 0) + level.encode()


def directory(locate=1, stock="AAPL"):
    return header("R", locate, 0) + stock.ljust(8).encode() + b"QN\0\0\0dNCZ PNN1N\0\0\0\0N"


def ip_checksum(raw):
    total = sum(struct.unpack(">10H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(payload, *, vlan=False, ip=IP, port=PORT, udp_length=None, total_length=None, version_ihl=0x45,
          fragment=0x4000, protocol=17, spoil_checksum=0, ethertype=0x0800, trailer=b"", vlan_type=0x8100):  # fmt: skip
    """An Ethernet frame around a UDP payload, right unless told otherwise."""
    udp_length = 8 + len(payload) if udp_length is None else udp_length
    total_length = 28 + len(payload) if total_length is None else total_length
    head = struct.pack(">BBHHHBBHII", version_ihl, 0, total_length, 0, fragment, 16, protocol, 0, 0xC0000201, ip)
    head = head[:10] + struct.pack(">H", ip_checksum(head) ^ spoil_checksum) + head[12:]
    ethernet = bytes(12) + (struct.pack(">HH", vlan_type, 5) if vlan else b"") + struct.pack(">H", ethertype)
    return ethernet + head + struct.pack(">HHHH", 1000, port, udp_length, 0) + payload + trailer


def feed_frame(sequence, messages, count=None, session=SESSION, **how):
    """A frame with a MoldUDP64 packet of the feed."""
    return frame(mold(sequence, messages, session, count), **how)


def flow(seed, count, *, locates=(1, 2, 3), wrong=0.0, middle_e4=1_000_000, tick_e4=100, width=40, other=0.05):
    """A list of `count` messages: adds, executions, cancels, deletes, replaces; a share of `wrong` ones.

    Books stay uncrossed as long as nothing is wrong: bids lie below the middle and asks above it.
    """
    rng = random.Random(seed)
    names = {locate: f"SYM{locate}" for locate in locates}
    out = [directory(locate, names[locate]) for locate in locates]
    out += [trading_action("T", locate, names[locate]) for locate in locates]
    live: dict[int, list] = {}
    reference = rng.randrange(1, 1 << 30)

    def price(side):
        steps = min(rng.randrange(1, width), rng.randrange(1, width))
        return middle_e4 - steps * tick_e4 if side == "B" else middle_e4 + steps * tick_e4

    while len(out) < count:
        roll = rng.random()
        locate = rng.choice(locates)
        if roll < wrong:
            out.append(_wrong(rng, live, locate, locates, price, names))
            _settle(out[-1], live)
            continue
        if roll < wrong + other:
            out.append(rng.choice([trade(0, "B", 5, middle_e4, locate, names[locate]), trading_action("T", locate)]))
            continue
        if not live or rng.random() < 0.5:
            reference += rng.randrange(1, 5)
            side = rng.choice("BS")
            shares = rng.randrange(1, 500)
            make = rng.choice([add, add, add, add_mpid])
            out.append(make(reference, side, shares, price(side), locate, stock=names[locate]))
            live[reference] = [locate, side, shares]
            continue
        named = rng.choice(list(live)[-30:])
        locate, side, shares = live[named]
        kind = rng.random()
        if kind < 0.45:
            out.append(delete(named, locate))
            del live[named]
        elif kind < 0.6:
            reference += 1
            fresh = rng.randrange(1, 500)
            out.append(replace(named, reference, fresh, price(side), locate))
            del live[named]
            live[reference] = [locate, side, fresh]
        else:
            part = rng.choice([shares, rng.randrange(1, shares + 1)])
            make = rng.choice([execute, cancel, execute_at])
            out.append(make(named, part, locate=locate))
            live[named][2] -= part
            if not live[named][2]:
                del live[named]
    return out[:count]


def _wrong(rng, live, locate, locates, price, names):
    unknown = rng.randrange(1 << 40, 1 << 41)
    known = rng.choice(list(live)) if live else unknown
    own, side, shares = live.get(known, [locate, "B", 10])
    elsewhere = rng.choice([other for other in locates if other != own] or [own])
    return rng.choice([
        delete(unknown, locate), execute(unknown, 5, locate), cancel(unknown, 5, locate),
        replace(unknown, unknown + 1, 5, price("B"), locate),
        add(known, "B", 5, price("B"), locate, stock=names[locate]),
        add(unknown, "B", 0, price("B"), locate, stock=names[locate]),
        add(unknown, "B", 5, 0, locate, stock=names[locate]),
        add(unknown, "X", 5, price("B"), locate, stock=names[locate]),
        execute(known, 0, own), cancel(known, 0, own), execute(known, shares + 1, own), cancel(known, shares + 7, own),
        delete(known, elsewhere), execute(known, 1, elsewhere), replace(known, unknown, 5, price(side), elsewhere),
        replace(known, unknown, 0, price(side), own), replace(known, unknown, 5, 0, own),
        replace(known, rng.choice(list(live)) if live else unknown, 5, price(side), own),
        replace(known, known, 5, price(side), own),
        add(unknown, "B", 5, price("B"), locate)[:-1], b"z" * 20,
    ])  # fmt: skip


def _settle(message, live):
    """What a wrong message did to the live orders, so that the flow goes on with what is there."""
    code = message[:1]
    if code == b"A" and len(message) == 36:
        return
    if code in (b"E", b"X", b"U"):
        locate = int.from_bytes(message[1:3], "big")
        named = int.from_bytes(message[11:19], "big")
        if named not in live or live[named][0] != locate:
            return
        if code == b"U":
            fresh, shares, price_e4 = struct.unpack(">QII", message[19:35])
            if shares and price_e4:
                side = live.pop(named)[1]
                if fresh not in live:
                    live[fresh] = [locate, side, shares]
        elif struct.unpack(">I", message[19:23])[0] > live[named][2]:
            del live[named]
        else:
            live[named][2] -= struct.unpack(">I", message[19:23])[0]
    elif code == b"D":
        named = int.from_bytes(message[11:19], "big")
        if named in live and live[named][0] == int.from_bytes(message[1:3], "big"):
            del live[named]

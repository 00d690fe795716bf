"""What is done to a design on its way to the tools."""

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory

from tickgate.hw.design import undefined_collisions


def test_clocked_reads_may_give_anything_while_the_row_is_written_and_others_may_not():
    m = Module()
    m.submodules.memory = memory = Memory(shape=8, depth=16, init=[])
    writes, clocked, direct = (
        [memory.write_port() for _ in range(2)],
        memory.read_port(),
        memory.read_port(domain="comb"),
    )
    address, seen = Signal(4), Signal(8)
    for port in (*writes, clocked, direct):
        m.d.comb += port.addr.eq(address)
    m.d.comb += [seen.eq(clocked.data ^ direct.data), clocked.en.eq(1)]
    text = rtlil.convert(m, ports=[address, seen, *[port.data for port in writes], *[port.en for port in writes]])
    done = undefined_collisions(text)

    def masks(text):
        """Of each read port: whether it is clocked, and its mask."""
        ports = [part.split("\n  end", 1)[0] for part in text.split("cell $memrd_v2 ")[1:]]
        return sorted(("CLK_ENABLE 1" in port, port.split("COLLISION_X_MASK ")[1].split()[0]) for port in ports)

    assert masks(text) == [(False, "2'00"), (True, "2'00")]
    assert masks(done) == [(False, "2'00"), (True, "2'11")]
    assert done.replace("2'11", "2'00") == text

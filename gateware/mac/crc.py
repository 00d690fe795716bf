"""CRC-32 of Ethernet, a byte a step: every next bit is an exclusive or of some bits of the register and the byte.

A receiver needs no comparison with the frame's own FCS: run over the frame and its FCS together, the register always
ends at `tickgate.sw.spec.mac.FCS_RESIDUE` when nothing was altered.
"""

from functools import cache, reduce
from operator import xor

from amaranth.hdl import Cat, Const, Value

from tickgate.sw.spec.mac import FCS_POLYNOMIAL

#: The register in front of a frame's first byte.
CRC_INIT = 0xFFFFFFFF


@cache
def step_masks(bits: int = 8) -> tuple[tuple[int, int], ...]:
    """For each bit of the next register: which bits of the register and which of the data it is the parity of."""
    register = [(1 << bit, 0) for bit in range(32)]
    for bit in range(bits):
        out = (register[0][0], register[0][1] ^ 1 << bit)
        register = [*register[1:], (0, 0)]
        for place in range(32):
            if FCS_POLYNOMIAL >> place & 1:
                register[place] = (register[place][0] ^ out[0], register[place][1] ^ out[1])
    return tuple(register)


def crc32_step(crc, byte) -> Value:
    """The register behind `byte` (8 bits, low bit first on the wire) from the register in front of it."""
    crc, byte = Value.cast(crc), Value.cast(byte)

    def parity(value, mask: int) -> list[Value]:
        return [value[bit] for bit in range(len(value)) if mask >> bit & 1]

    return Cat(
        reduce(xor, parity(crc, of_crc) + parity(byte, of_byte), Const(0, 1))
        for of_crc, of_byte in step_masks(len(byte))
    )

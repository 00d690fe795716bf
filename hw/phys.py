"""The Ethernet transceivers of the boards, and what is written to them over MDIO.

Register numbers and bits are those of the makers' data sheets; none of it was tried on silicon.
"""

from __future__ import annotations

from tickgate.gateware.board.description import MdioStep, Phy

# Every set-up first offers the one speed that the port can do, so that a link is a link at that speed, and ends
# with a new negotiation. Registers 0 to 15: IEEE 802.3 clause 22.2.4.
_ONLY_GIGABIT = (MdioStep(4, 0x0001), MdioStep(9, 0x0200))
_ONLY_FAST = (MdioStep(4, 0x0101),)
_RESTART = MdioStep(0, 0x1200, 0x1200)

MARVELL_88E1512 = Phy(
    name="Marvell 88E1512",
    # Page 2 register 21: bit 5 delays the receive clock, bit 4 the transmit clock; both count after a soft reset.
    setup=(
        MdioStep(22, 2),
        MdioStep(21, 0x0030, 0x0030),
        MdioStep(22, 0),
        *_ONLY_GIGABIT,
        MdioStep(0, 0x9200, 0x9200),
    ),
    reset_us=10_000,
    settle_us=50_000,
    delays="PHY delays both clocks",
)
MICROCHIP_KSZ9031 = Phy(
    name="Microchip KSZ9031RNX",
    # MMD 2 register 8: pad skew of the transmit (bits 9:5) and receive clock (4:0), 60 ps a step around 15. The PHY
    # delays its receive clock by 1.2 ns by itself; the transmit clock is delayed in the FPGA.
    setup=(
        MdioStep(13, 0x0002),
        MdioStep(14, 8),
        MdioStep(13, 0x4002),
        MdioStep(14, 15 << 5 | 15),
        *_ONLY_GIGABIT,
        _RESTART,
    ),
    reset_us=10_000,
    settle_us=100_000,
    delays="PHY delays the receive clock, the FPGA the transmit clock",
)
BROADCOM_B50612D = Phy(
    name="Broadcom B50612D",
    # Register 24, shadow 7, bit 8: receive skew. Register 28, shadow 3, bit 9: transmit clock delay. Bit 15 writes.
    setup=(
        MdioStep(24, 0x7007),
        MdioStep(24, 0x8107, 0x8107),
        MdioStep(28, 3 << 10),
        MdioStep(28, 0x8000 | 3 << 10 | 1 << 9, 0xFE00),
        *_ONLY_GIGABIT,
        _RESTART,
    ),
    reset_us=10_000,
    settle_us=50_000,
    delays="PHY delays both clocks",
)
TI_DP83848J = Phy(
    name="TI DP83848J",
    setup=(*_ONLY_FAST, _RESTART),
    reset_us=10_000,
    settle_us=200_000,
    delays="none needed",
)

"""Dividers of the FPGAs' clock generators, computed exactly; no Amaranth here, so that the table can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Limits:
    """What a clock generator can do, in Hz.

    Parameters
    ----------
    phase_hz: frequency at its phase detector. vco_hz: of its oscillator. output_hz: of an output.
    input_divider, feedback_divider, output_divider: largest of each.
    """

    name: str
    phase_hz: tuple[int, int]
    vco_hz: tuple[int, int]
    output_hz: tuple[int, int]
    input_divider: int
    feedback_divider: int
    output_divider: int


#: Lattice FPGA-DS-02012 (ECP5 family data sheet), sysCLOCK PLL timing; FPGA-TN-02200 for the dividers.
EHXPLLL = Limits(
    "EHXPLLL", (10_000_000, 400_000_000), (400_000_000, 800_000_000), (3_125_000, 400_000_000), 128, 80, 128
)
#: Xilinx DS181 table 39 (Artix-7, speed -1) and UG472.
PLLE2 = Limits(
    "PLLE2_BASE", (19_000_000, 450_000_000), (800_000_000, 1_600_000_000), (6_250_000, 464_000_000), 56, 64, 128
)


@dataclass(frozen=True)
class PllPlan:
    """Dividers of one clock generator.

    Parameters
    ----------
    input_divider, feedback_divider: of the phase detector's two inputs.
    loop_divider: of the output that is fed back; 1 where the feedback divider counts the oscillator itself.
    output_dividers: of each output, in the order in which they were asked for.
    input_hz: what it is driven with.
    """

    input_hz: int
    input_divider: int
    feedback_divider: int
    loop_divider: int
    output_dividers: tuple[int, ...]

    @property
    def phase_hz(self) -> Fraction:
        """Frequency at the phase detector."""
        return Fraction(self.input_hz, self.input_divider)

    @property
    def vco_hz(self) -> Fraction:
        """Frequency of the oscillator."""
        return self.phase_hz * self.feedback_divider * self.loop_divider

    def output_hz(self, number: int) -> Fraction:
        """Frequency of an output."""
        return self.vco_hz / self.output_dividers[number]


def broken_limits(plan: PllPlan, limits: Limits, separate_loop: bool = True) -> list[str]:
    """What of the limits a plan does not keep, in words; nothing where it keeps them all."""
    found = []

    def within(what: str, value: Fraction, low: int, high: int) -> None:
        if not low <= value <= high:
            found.append(f"{what} is {float(value) / 1e6:.3f} MHz, not {low / 1e6:g} to {high / 1e6:g}")

    within("phase detector", plan.phase_hz, *limits.phase_hz)
    within("oscillator", plan.vco_hz, *limits.vco_hz)
    for number in range(len(plan.output_dividers)):
        within(f"output {number}", plan.output_hz(number), *limits.output_hz)
    if separate_loop:
        within("feedback output", plan.vco_hz / plan.loop_divider, *limits.output_hz)
    for what, value, most in (
        ("input divider", plan.input_divider, limits.input_divider),
        ("feedback divider", plan.feedback_divider, limits.feedback_divider),
        *((f"output divider {n}", d, limits.output_divider) for n, d in enumerate(plan.output_dividers)),
        ("loop divider", plan.loop_divider, limits.output_divider),
    ):
        if not 1 <= value <= most:
            found.append(f"{what} is {value}, not 1 to {most}")
    return found


def plan_pll(
    input_hz: int, wanted_hz: Sequence[int], limits: Limits = EHXPLLL, *, separate_loop: bool = True
) -> PllPlan:
    """Dividers that give exactly these frequencies; a frequency in Hz is met when it is right to the hertz.

    Of several plans the one with the highest frequency at the phase detector is taken (least jitter), then the highest
    oscillator.

    Parameters
    ----------
    separate_loop: an output of its own is fed back (ECP5), else the oscillator itself (Xilinx).

    Raises
    ------
    ValueError: no dividers give these frequencies within the limits.
    """
    best: PllPlan | None = None
    for divide in range(1, limits.input_divider + 1):
        phase = Fraction(input_hz, divide)
        if phase < limits.phase_hz[0]:
            break
        for ratio in range(int(limits.vco_hz[1] / phase), 0, -1):
            vco = phase * ratio
            if vco < limits.vco_hz[0]:
                break
            dividers = tuple(round(vco / hz) for hz in wanted_hz)
            if any(not d or round(vco / d) != hz for d, hz in zip(dividers, wanted_hz, strict=True)):
                continue
            for loop in range(1, limits.output_divider + 1) if separate_loop else (1,):
                if ratio % loop:
                    continue
                plan = PllPlan(input_hz, divide, ratio // loop, loop, dividers)
                if not broken_limits(plan, limits, separate_loop):
                    best = best or plan
                    break
        if best is not None:
            return best
    raise ValueError(
        f"no dividers of {limits.name} make {', '.join(f'{hz / 1e6:g}' for hz in wanted_hz)} MHz "
        f"from {input_hz / 1e6:g} MHz"
    )

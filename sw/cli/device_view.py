"""The live view of `tickgate device telemetry`: rates, latencies and rejects, drawn again a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from tickgate.sw.host.telemetry import PERCENTILES, TelemetryMonitor
from tickgate.sw.spec import telemetry

_REFRESH_S = 0.25


@contextmanager
def live_view(monitor: TelemetryMonitor, ns_per_cycle: float, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Gives a function that draws the view when it is due; the last one stays on the screen.

    Parameters
    ----------
    quiet: draw nothing.
    """
    if quiet:
        yield lambda: None
        return
    began = last = time.monotonic()
    before = dict(monitor.records)
    rates = dict.fromkeys(telemetry.CLASSES, 0.0)
    with Live(view(monitor, ns_per_cycle, rates), console=Console(), auto_refresh=False) as live:

        def update() -> None:
            nonlocal last, before
            now = time.monotonic()
            if now - last < _REFRESH_S:
                return
            for stage in telemetry.CLASSES:
                rates[stage] = (monitor.records[stage] - before.get(stage, 0)) / (now - last)
            last, before = now, dict(monitor.records)
            live.update(view(monitor, ns_per_cycle, rates), refresh=True)

        yield update
        seconds = max(time.monotonic() - began, 1e-9)
        mean = {stage: monitor.records[stage] / seconds for stage in telemetry.CLASSES}
        live.update(view(monitor, ns_per_cycle, mean), refresh=True)
    if not live.console.is_terminal:
        live.console.print()  # ends the last line


def view(monitor: TelemetryMonitor, ns_per_cycle: float, rates: dict[str, float]) -> Group:
    """The tables of one moment."""
    stages = Table(title=f"latency since the deciding byte, in cycles (ns at {1000 / ns_per_cycle:g} MHz)")
    stages.add_column("stage")
    for name in ("records", "a second", "not sent", *(f"p{p:g}" for p in PERCENTILES), "max"):
        stages.add_column(name, justify="right")
    for stage in telemetry.CLASSES:
        points = monitor.percentiles(stage).values()
        cells = [f"{cycles} ({cycles * ns_per_cycle:.0f})" for cycles in points] or ["-"] * (len(PERCENTILES) + 1)
        stages.add_row(
            stage, f"{monitor.records[stage]:,}", f"{rates[stage]:,.0f}", f"{monitor.unsent[stage]:,}", *cells
        )
    rejects = Table()
    rejects.add_column("rejected for")
    rejects.add_column("orders", justify="right")
    for reason, count in monitor.rejects.most_common():
        rejects.add_row(reason, f"{count:,}")
    lines = (
        f"{monitor.fired:,} intents, {monitor.accepted:,} accepted, {monitor.orders:,} orders\n"
        f"{monitor.frames:,} frames, {monitor.frames_lost:,} lost on the way; the device lost "
        f"{monitor.device_lost:,} records since its reset"
    )
    return Group(stages, rejects, lines) if monitor.rejects else Group(stages, lines)

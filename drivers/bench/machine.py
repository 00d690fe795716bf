"""Facts of the machine that a figure means nothing without."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from tickgate.drivers.clock import describe


def facts(near_cpu: int | None, far_cpu: int | None) -> dict[str, Any]:
    """Kernel, CPU, clock source, mitigations and pinning; what cannot be read is an empty text."""
    system = Path("/sys/devices/system")
    weaknesses = system / "cpu/vulnerabilities"
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "command_line": _read(Path("/proc/cmdline")),
        "cpu": _cpuinfo("model name") or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in _cpuinfo("flags").split(),
        "governor": _read(system / "cpu/cpu0/cpufreq/scaling_governor"),
        "isolated_cpus": _read(system / "cpu/isolated"),
        "clock_source": _read(system / "clocksource/clocksource0/current_clocksource"),
        "clock": describe(),
        "mitigations": {path.name: _read(path) for path in sorted(weaknesses.glob("*"))} if weaknesses.is_dir() else {},
        "near_cpu": near_cpu,
        "far_cpu": far_cpu,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _cpuinfo(key: str) -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""

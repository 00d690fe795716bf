"""What makes a thread's latency steady: a CPU of its own, real-time priority, memory that stays. All off by default.

    with tuned(cpu=1):
        ...

Traps that are built in: a real-time thread that spins is stopped by the kernel after ``limit_s`` of CPU time without a
sleep (RLIMIT_RTTIME: first SIGXCPU, then SIGKILL), because nothing else of the same or a lower priority would run on
its CPU, a ``timeout`` included; the priority is that of SCHED_RR with SCHED_RESET_ON_FORK, so that children do not have
it; where a machine has a single CPU the priority is refused.
"""

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from tickgate.drivers.errors import LimitError, MissingRightError, PortError, grant_command

_libc = ctypes.CDLL(None, use_errno=True)
_MCL_CURRENT_AND_FUTURE = 3


@contextmanager
def tuned(
    cpu: int | None = None, priority: int = 0, limit_s: float = 15.0, lock_memory: bool = False
) -> Iterator[None]:
    """The calling thread pinned to ``cpu``, at real-time ``priority`` (1 to 49; 0: none), its memory locked; as it was
    before, afterwards (but for the limit of CPU time, which stays).

    Raises: ValueError for what this machine does not have; MissingRightError, LimitError.
    """
    allowed = os.sched_getaffinity(0)
    if cpu is not None and cpu not in allowed:
        raise ValueError(f"cpu must be one of {sorted(allowed)}, not {cpu}")
    if not 0 <= priority <= 49:
        raise ValueError(f"priority must be from 0 to 49 (the kernel's own threads have 50), not {priority}")
    if priority and (os.cpu_count() or 1) < 2:
        raise ValueError("priority on a machine with one CPU would stop everything else: leave it 0")
    if not 0.01 <= limit_s <= 3600:
        raise ValueError(f"limit_s must be from 0.01 to 3600, not {limit_s}")
    policy, before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if lock_memory and _libc.mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
            raise _lock_error(ctypes.get_errno())
        if priority:
            _real_time(priority, limit_s)
        yield
    finally:
        if priority and os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, before)
        if lock_memory:
            _libc.munlockall()
        os.sched_setaffinity(0, allowed)


def _real_time(priority: int, limit_s: float) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    soft = int(limit_s * 1e6)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        error = MissingRightError(
            f"real-time priority {priority}: the right CAP_SYS_NICE is missing\n"
            f"grant it: {grant_command(['sys_nice'])}, or raise the limit: ulimit -r {priority}"
        )
        error.capabilities = ("sys_nice",)
        raise error from None


def _lock_error(number: int) -> PortError:
    return LimitError(
        f"locking memory: {os.strerror(number)}\n"
        + f"raise the limit (ulimit -l unlimited), or: {grant_command(['ipc_lock'])}"
    )

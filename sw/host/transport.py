"""How frames reach a device: the abstract transport, and how one is found by name.

A transport is named ``NAME`` or ``NAME:ARGUMENT`` (`sim`, `sim:small`, `shm:desk`, `xdp:eth0`). Implementations live in
layers above this one, so that they are named by strings here and found in the entry-point group
``tickgate.transports``: a function that takes the argument, "" where there is none, and gives a `Transport`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import cast

from tickgate.sw.spec import control
from tickgate.sw.spec.errors import UserError

GROUP = "tickgate.transports"

#: Transports of tickgate itself: where each is made, what its argument is, and the extra that it needs.
BUILTIN: dict[str, tuple[str, str, str | None]] = {
    "model": (
        "tickgate.sw.host.model_transport:open_model",
        "a model without a data path; [SIZE]",
        None,
    ),
    "sim": ("tickgate.sim.transport:open_sim", "a simulated device of its own; [SIZE]", "sim"),
    "nic": ("tickgate.sim.nic.transport:open_nic", "the simulated NIC; [NAME]", "sim"),
    "shm": ("tickgate.drivers.transport:open_shm", "shared memory; NAME", None),
    "xdp": ("tickgate.drivers.transport:open_xdp", "AF_XDP; INTERFACE[@QUEUE]", None),
    "packet": ("tickgate.drivers.transport:open_packet", "AF_PACKET; INTERFACE", None),
    "udp": ("tickgate.drivers.transport:open_udp", "frames in datagrams; ADDRESS:PORT", None),
    "dpdk": ("tickgate.drivers.transport:open_dpdk", "DPDK; a virtual device: net_af_xdp0,iface=eth0", None),
}


class Transport(ABC):
    """Frames to and from the control role of one device. It belongs to one thread at a time.

    Members
    -------
    name: what it was opened as.
    mac: Ethernet address that requests come from.
    """

    name: str = ""
    mac: int = control.HOST_MAC

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Send one frame; one that cannot be sent now is lost, as on a wire.

        Raises
        ------
        UserError: the transport does not work any more.
        """

    @abstractmethod
    def receive(self, timeout_s: float) -> list[bytes]:
        """The frames that have come, waiting at most `timeout_s` for the first; empty where none came.

        Raises
        ------
        UserError: the transport does not work any more.
        """

    def close(self) -> None:  # noqa: B027 - not every transport holds something
        """Give back what it holds; more than once is fine."""

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_transport(via: str) -> Transport:
    """The transport that `via` names.

    Raises
    ------
    UserError: no such transport, a wrong argument, or the part that holds it is not installed.
    """
    name, _, argument = via.partition(":")
    if name in BUILTIN:
        maker = _builtin(name)
    else:
        point = _added().get(name)
        if point is None:
            raise UserError(f"no transport {name!r}; the transports are {', '.join([*BUILTIN, *_added()])}")
        try:
            maker = cast(Callable[[str], Transport], point.load())
        except (ImportError, AttributeError) as error:
            raise UserError(f"the transport {name!r} ({point.value}) cannot be loaded: {error}") from error
    transport = maker(argument)
    transport.name = via
    return transport


def describe() -> str:
    """One line a transport, for help texts."""
    lines = [f"{name}: {what}" for name, (_, what, _) in BUILTIN.items()]
    return "\n".join([*lines, *(f"{name}: from {point.value}" for name, point in _added().items())])


def _builtin(name: str) -> Callable[[str], Transport]:
    target, _, extra = BUILTIN[name]
    module, function = target.split(":")
    try:
        return cast(Callable[[str], Transport], getattr(importlib.import_module(module), function))
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("tickgate"):
            raise  # a package of an extra: the launcher names it
        fix = "install tickgate again with its drivers"
        if extra:
            fix = f"install it with: pip install 'tickgate[{extra}]'"
        raise UserError(f"the transport {name!r} is not part of this installation\n{fix}") from error


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILTIN}

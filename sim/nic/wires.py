"""The interfaces of the simulated NIC: a veth pair a role, the device's ends in one namespace, the user's in another.

Or a TAP a role, whose interface is the user's end; the device's end is its descriptor, which needs no namespace.
Neither namespace has a name of its own, so that both go with the process, also when that is killed. Where the user's
namespace is given a name for ``ip netns exec``, a watcher takes the name back when the process is gone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from tickgate.drivers import netns
from tickgate.drivers.port import Port
from tickgate.sim.nic.ends import End, TapEnd
from tickgate.sim.nic.watch import watch
from tickgate.sw.spec.errors import UserError

#: Roles, which are also the names of the interfaces on the user's side.
ROLES = ("feed_a", "feed_b", "orders", "control")
#: Name of the device's end of a role's pair.
DEVICE_END = {role: f"dev_{role}" for role in ROLES}
#: What the device's ends are opened with when nothing else is asked for.
DEFAULT_BACKEND = "packet"
VETH, TAP = "veth", "tap"
LINKS = (VETH, TAP)
RING = 1024
#: Backends that work on an interface.
BACKENDS = ("auto", "packet", "xdp", "xdp-skb", "xdp-drv")


class Wires:
    """The veth pairs or TAPs of a simulated NIC; a context manager.

    Parameters
    ----------
    name: the user's namespace is called this for ``ip netns exec``; "" for no name.
    link: `veth` or `tap`. backend: of the device's ends of veth pairs.
    addresses: IPv4 address with prefix length of the device's end of a role, on which the kernel answers ARP and ping.
    mtu: of all interfaces, in bytes.

    Members
    -------
    user: the namespace in which the roles' interfaces are.
    ports: the device's ends by role.

    Raises
    ------
    PortError: a right or a program is missing (`MissingRightError`, `UnsupportedError`), or the name is taken.
    UserError: no such backend; an address for a TAP, whose other end is no interface.
    """

    def __init__(
        self,
        *,
        name: str = "",
        link: str = VETH,
        backend: str = DEFAULT_BACKEND,
        addresses: Mapping[str, str] | None = None,
        mtu: int = 1500,
    ):
        self.name = name
        self.ports: dict[str, End] = {}
        if link == TAP and addresses:
            raise UserError("the device's end of a TAP is no interface and has no address: take a veth pair")
        self._stack = ExitStack()
        try:
            self.user = self._stack.enter_context(netns.Namespace())
            if link == TAP:
                for role in ROLES:
                    end = TapEnd(self.user.tap(role, mtu=mtu), role)
                    self._stack.callback(end.close)
                    self.ports[role] = end
            else:
                self._join(backend, addresses or {}, mtu)
            if name:
                self._stack.callback(watch(f"/run/netns/{name}", os.stat(self.user.path).st_ino))
                self.user.publish(name)
        except BaseException:
            self._stack.close()
            raise

    def _join(self, backend: str, addresses: Mapping[str, str], mtu: int) -> None:
        inside = self._stack.enter_context(netns.Namespace())
        for role in ROLES:
            netns.veth_pair((inside, DEVICE_END[role]), (self.user, role), mtu=mtu)
            self.ports[role] = self._stack.enter_context(_open(inside, DEVICE_END[role], backend, ring=RING))
        for role, address in addresses.items():
            inside.ip("address", "add", address, "dev", DEVICE_END[role])

    def open(self, role: str, *, backend: str = DEFAULT_BACKEND, **options: Any) -> Port:
        """A port on the user's end of a role.

        Raises
        ------
        UserError: as `Port.open`, or no such backend.
        """
        return _open(self.user, role, backend, **options)

    def close(self) -> None:
        """Closes the ports; the namespaces go with the last program inside."""
        self._stack.close()

    def __enter__(self) -> Wires:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(space: netns.Namespace, interface: str, backend: str, **options: Any) -> Port:
    if backend not in BACKENDS:
        raise UserError(f"the backend of an interface is one of {', '.join(BACKENDS)}, not {backend!r}")
    with space.entered():
        return Port.open(interface, backend=backend, **options)

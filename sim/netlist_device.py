"""The device after synthesis: a netlist of cells, run and observed like the device itself."""

from __future__ import annotations

from pathlib import Path

from tickgate.sim import build
from tickgate.sim.device import Device
from tickgate.sw.spec.sizes import Sizes


class NetlistDevice(Device):
    """A synthesised device.

    Parameters
    ----------
    sizes: with which it was synthesised.
    netlist: what `tickgate netlist` wrote.

    Raises
    ------
    UserError: as `Device`, or `netlist` is none.
    """

    #: Synthesis spread them over block RAMs.
    has_memories = False

    def __init__(self, sizes: Sizes, netlist: Path):
        self._netlist = netlist
        super().__init__(sizes)

    def _compiled(self, waves: bool, faults: frozenset[str]) -> Path:
        return build.shared_object(self.sizes, waves=waves, netlist=self._netlist)

    @property
    def via(self) -> str:
        """One line on how frames reach the device."""
        return "handed over in this process, to a netlist; levels and orders not dumped"

"""The simulated NIC: the Verilated device behind network interfaces."""

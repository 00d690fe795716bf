"""One cocotb bench a stage; `tickgate.sim.cocotb_run` builds and runs them."""

"""The Verilated gateware as a device, and everything that drives or checks it."""

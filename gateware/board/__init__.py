"""What stands between the device and the pins of a board: clocks, resets, PHYs, shared ports, lights and a console."""

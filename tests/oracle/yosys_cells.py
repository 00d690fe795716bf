"""Cells of ECP5 as Yosys writes them into a netlist (`write_json`), for the tests of what moves registers."""

CLOCK, ENABLE, OTHER = 2, 3, 4
_ATTRIBUTES = ("keep", "BEL", "src")


def register(d, q, **changes):
    """A flip-flop between two nets, with clock and enable and no reset; parameters, pins and attributes by name."""
    parameters = {"CEMUX": "CE", "CLKMUX": "CLK", "GSR": "DISABLED", "LSRMUX": "LSR", "REGSET": "RESET"}
    pins = {"CE": [ENABLE], "CLK": [CLOCK], "DI": [d], "LSR": ["0"], "Q": [q]}
    named = {name: value for name, value in changes.items() if name in (*parameters, "LSRMODE")}
    attributes = {name: value for name, value in changes.items() if name in _ATTRIBUTES}
    pins |= {name: value for name, value in changes.items() if name not in named and name not in attributes}
    return {
        "type": "TRELLIS_FF",
        "parameters": parameters | named,
        "attributes": {"src": "a.py:1"} | attributes,
        "port_directions": {pin: "output" if pin == "Q" else "input" for pin in pins},
        "connections": pins,
    }

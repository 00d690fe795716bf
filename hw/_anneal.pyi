import numpy as np

LUT: int
FLOP: int
RAM_WRITE_PORT: int
BLOCK_RAM: int
OTHER: int
CARRY: int
RAM: int
MUX5: int
MUX6: int
CLOCK_INVERTED: int
SET_INVERTED: int
RAM_WRITE: int
FEEDS_MUX5: int
FEEDS_MUX6: int
EVEN_SLICE: int
ENABLE_INVERTED: int
ENABLE_CONSTANT: int
GLOBAL_RESET: int
ASYNCHRONOUS: int
USES_M: int
CELL: tuple[str, ...]
ARC: tuple[str, ...]

class Anneal:
    def __init__(
        self,
        cells: np.ndarray,
        pins: np.ndarray,
        logic: np.ndarray,
        chained: np.ndarray,
        arcs: np.ndarray,
        driver: np.ndarray,
        launch_ps: np.ndarray,
        *,
        wire_ps: float,
        tile_ps: float,
        goal_ps: float,
        timing: float,
        crowded: float,
        crowd: float,
        seed: int,
    ) -> None: ...
    def sweep(self, temperature: float, reach: float) -> dict[str, float]: ...
    def measure(self) -> dict[str, float]: ...
    def places(self) -> np.ndarray: ...
    def illegal(self) -> int: ...

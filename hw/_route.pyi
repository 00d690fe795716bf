from typing import TypedDict

import numpy as np

EDGE: np.dtype
NET: tuple[str, ...]
FIXED_WIRE: tuple[str, ...]

class Round(TypedDict):
    wires: int
    shared: int
    nets: int
    unreached: int
    looked_at: int
    worst_ps: float

class Router:
    def __init__(
        self,
        width: int,
        first_edge: np.ndarray,
        edges: np.ndarray,
        tile: np.ndarray,
        name: np.ndarray,
        reach: np.ndarray,
        nets: np.ndarray,
        sinks: np.ndarray,
        fixed: np.ndarray,
        arcs: np.ndarray,
        sinks_of: np.ndarray,
        launch_ps: np.ndarray,
        targets: np.ndarray,
        *,
        goal_ps: float,
        wire_ps: float,
        tile_ps: float,
        hop_ps: float,
        memory: float,
        ahead: float,
    ) -> None: ...
    def round(self, sharing: float, again: float, failed_last: bool) -> Round: ...
    def trees(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
    def sinks_ps(self) -> np.ndarray: ...

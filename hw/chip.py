"""The wires and pips of an ECP5, out of the chip database in nextpnr's package.

Every tile is of some type, and a type lists its wires and pips, by place relative to the tile. Here a wire of the whole
device has one number: those of a tile follow each other, row by row of tiles.

References: nextpnr's ecp5/arch.h (structures of the database; it checks every pip again that it is handed).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tickgate.hw import tools
from tickgate.hw._route import EDGE

_SLICE = np.dtype([("offset", "<i4"), ("n", "<u4")])
_HEAD = np.dtype([("width", "<i4"), ("height", "<i4"), ("tiles", "<i4"), ("names", "<i4")])
_LISTS = ("types", "type_of", "globals", "tile_types", "packages", "pins", "tile_infos", "speeds")
_TYPE = np.dtype([("places", _SLICE), ("wires", _SLICE), ("pips", _SLICE)])
_WIRE = np.dtype(
    [("name", "<i4"), ("kind", "<i2"), ("in_tile", "<i2"), ("up", _SLICE), ("down", _SLICE), ("pins", _SLICE)]
)
#: Where `down` is in it, in bytes.
_DOWN_IN_WIRE = 16
_PIP = np.dtype(
    [
        ("from_x", "<i2"), ("from_y", "<i2"), ("to_x", "<i2"), ("to_y", "<i2"), ("source", "<i2"), ("sink", "<i2"),
        ("delay", "<i2"), ("tile", "i1"), ("kind", "i1"), ("lut", "<i2"), ("padding", "<i2"),
    ]
)  # fmt: skip
_DOWN = np.dtype([("x", "<i2"), ("y", "<i2"), ("pip", "<i4")])
_SPEED = np.dtype([("cells", _SLICE), ("pips", _SLICE)])
_DELAY = np.dtype([("least", "<i4"), ("most", "<i4"), ("least_fanout", "<i4"), ("most_fanout", "<i4")])

#: Pips that take a LUT's input to another one: whether it is such a one, which LUT, from which input, to which.
_PERMUTES, _LUT, _FROM, _TO = 0x4000, 4, 2, 0
#: Which of them a slice may use: none (distributed memory), A with B and C with D (carry), all.
FIXED, PAIRS, ANY = range(3)
#: Slices of a tile.
SLICES = 4

#: What an edge can say.
_MOST_PS = np.iinfo(EDGE["ps"]).max

_DEVICE = re.compile(r"--(?:um-|um5g-|)(\d+k)")
#: Devices that are larger ones by another name.
_SAME_CHIP = {"12k": "25k"}
#: What nextpnr calls the speed grades, in the order of the database; the last one is that of all 5G devices.
_SPEEDS = ("6", "7", "8")
_SPEED_5G = 3
_PIP_NAME = re.compile(r"X(\d+)/Y(\d+)/(-?\d+)_(-?\d+)_(\w+)->")
_WIRE_NAME = re.compile(r"X(\d+)/Y(\d+)/(\w+)")


class DatabaseError(RuntimeError):
    """The database is not as this module knows it."""


def find(arguments: Sequence[str]) -> tuple[Path, int]:
    """The database of the device that nextpnr's arguments name, and the number of its speed grade."""
    device = next(m for m in map(_DEVICE.fullmatch, arguments) if m)
    package = importlib.util.find_spec(tools.TOOLS["nextpnr-ecp5"].module)
    assert package is not None and package.submodule_search_locations
    size = _SAME_CHIP.get(device[1], device[1])
    path = Path(next(iter(package.submodule_search_locations))) / "share" / "ecp5" / f"chipdb-{size}.bin"
    speed = arguments[arguments.index("--speed") + 1]
    return path, _SPEED_5G if "5g" in device[0] else _SPEEDS.index(speed)


@dataclass(frozen=True)
class Graph:
    """The wires and pips that a router may use, as `_route.Router` takes them, and of each edge the pip that it is."""

    first_edge: np.ndarray
    edges: np.ndarray
    pip: np.ndarray


class Chip:
    """A device.

    Members
    -------
    width, height: in tiles. tile: int32, of each wire. name: int32, of each wire, an index of `names`.
    reach: int16, of each wire, the columns and rows of itself and of the tiles in which pips leave it.
    """

    def __init__(self, database: bytes):
        """`database`: what `find` found.

        Raises
        ------
        DatabaseError: it is not as this module knows it.
        """
        self._bytes = database
        (root,) = self._at(0, np.dtype("<i4"), 1)
        (head,) = self._at(root, _HEAD, 1)
        self.width, self.height, tiles = int(head["width"]), int(head["height"]), int(head["tiles"])
        self._lists = dict(zip(_LISTS, self._slices(root + _HEAD.itemsize, len(_LISTS)), strict=True))
        type_of = self._all("type_of", np.dtype("<i4"))
        if not 0 < self.width * self.height == tiles == len(type_of):
            raise DatabaseError(f"a device of {self.width} by {self.height} tiles cannot have {tiles}")
        self._types = self._read_types()
        self._type_of = type_of
        self._told: dict[int, tuple[int, ...]] = {}
        counts = np.array([len(t.name) for t in self._types], np.int64)
        self._first_wire = np.concatenate([[0], np.cumsum(counts[type_of])])
        self.tile = np.repeat(np.arange(tiles, dtype=np.int32), counts[type_of])
        self.name = np.concatenate([self._types[t].name for t in type_of])
        self._first_pip = np.concatenate([[0], np.cumsum([len(t.pips) for t in self._types])])
        self._pips = np.concatenate([t.pips for t in self._types])
        column, row = self.tile % self.width, self.tile // self.width
        reach = np.concatenate([self._types[t].reach for t in type_of])
        self.reach = (reach + np.stack([column, column, row, row], axis=1)).astype(np.int16)

    # The database.

    def _at(self, where: int, kind: np.dtype, n: int) -> np.ndarray:
        if not n:  # such a list is nowhere
            return np.empty(0, kind)
        try:
            return np.frombuffer(self._bytes, kind, n, int(where))
        except ValueError as e:
            raise DatabaseError(f"the database ends within what begins at {where}: {e}") from None

    def _slices(self, where: int, n: int) -> list[tuple[int, int]]:
        """Where each of some lists is, and its length, as they are told one behind the other."""
        told = self._at(where, _SLICE, n)
        return [(where + k * _SLICE.itemsize + int(s["offset"]), int(s["n"])) for k, s in enumerate(told)]

    def _all(self, name: str, kind: np.dtype) -> np.ndarray:
        return self._at(self._lists[name][0], kind, self._lists[name][1])

    def _text(self, where: int) -> str:
        end = self._bytes.find(b"\0", where)
        if where < 0 or end < 0:
            raise DatabaseError(f"there is no name at {where}")
        return self._bytes[where:end].decode()

    def _read_types(self) -> list[_Type]:
        where, n = self._lists["types"]
        self.names: list[str] = []
        numbers: dict[str, int] = {}
        types = []
        for k in range(n):
            _, (wires_at, n_wires), (pips_at, n_pips) = self._slices(where + k * _TYPE.itemsize, 3)
            wires = self._at(wires_at, _WIRE, n_wires)
            here = wires_at + np.arange(n_wires) * _WIRE.itemsize
            name = np.zeros(n_wires, np.int32)
            down = []
            for w, (name_at, down_at, n_down) in enumerate(
                zip(
                    (here + wires["name"]).tolist(),
                    (here + _DOWN_IN_WIRE + wires["down"]["offset"]).tolist(),
                    wires["down"]["n"].tolist(),
                    strict=True,
                )
            ):
                name[w] = numbers.setdefault(self._text(name_at), len(numbers))
                down.append(self._at(down_at, _DOWN, n_down))
            types.append(_Type(name, self._at(pips_at, _PIP, n_pips), down))
        self.names = list(numbers)
        return types

    # Wires by name and name by wire.

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def wire(self, x: int, y: int, name: str) -> int:
        """The number of a wire.

        Raises
        ------
        DatabaseError: there is none of this name.
        """
        tile = y * self.width + x
        local = self._types[self._type_of[tile]].local.get(self._number.get(name, -1))
        if local is None:
            raise DatabaseError(f"the tile X{x}/Y{y} has no wire {name}")
        return int(self._first_wire[tile]) + local

    def wire_named(self, name: str) -> int:
        """The number of a wire that nextpnr calls `name`: `X1/Y2/A0_SLICE`."""
        m = _WIRE_NAME.fullmatch(name)
        if m is None or int(m[1]) >= self.width or int(m[2]) >= self.height:
            raise DatabaseError(f"there is no wire {name}")
        return self.wire(int(m[1]), int(m[2]), m[3])

    def source_named(self, pip: str) -> int:
        """The wire that a pip leaves which nextpnr calls `pip`: `X1/Y2/0_0_A0->0_0_A0_SLICE`."""
        m = _PIP_NAME.match(pip)
        if m is None:
            raise DatabaseError(f"there is no pip {pip}")
        x, y, from_x, from_y = (int(m[i]) for i in range(1, 5))
        return self.wire(x + from_x, y + from_y, m[5])

    def wire_name(self, wire: int) -> str:
        """What nextpnr calls a wire."""
        tile = int(self.tile[wire])
        return f"X{tile % self.width}/Y{tile // self.width}/{self.names[self.name[wire]]}"

    def pip_name(self, pip: int, to: int) -> str:
        """What nextpnr calls the pip `pip` (of a `Graph`) to the wire `to`."""
        if pip not in self._told:
            p = self._pips[pip]
            self._told[pip] = tuple(int(p[field]) for field in ("from_x", "from_y", "source", "to_x", "to_y"))
        from_x, from_y, index, to_x, to_y = self._told[pip]
        tile = int(self.tile[to])
        x, y = tile % self.width - to_x, tile // self.width - to_y
        source = (y + from_y) * self.width + x + from_x
        begin = self.names[self._types[self._type_of[source]].name[index]]
        return f"X{x}/Y{y}/{from_x}_{from_y}_{begin}->{to_x}_{to_y}_{self.names[self.name[to]]}"

    def named(self, pattern: str) -> np.ndarray:
        """Of each wire, whether its name matches a pattern in full."""
        return np.array([re.fullmatch(pattern, name) is not None for name in self.names])[self.name]

    # The graph.

    def graph(
        self, speed: int, closed: np.ndarray, left: np.ndarray, rules: np.ndarray, taken: Sequence[tuple[int, int]]
    ) -> Graph:
        """All pips to wires that are not closed.

        Parameters
        ----------
        speed: number of the speed grade. closed: bool of each wire. left: bool of each wire: no pip from there either.
        rules: uint8 of shape (tiles, SLICES): which pips may permute the inputs of the LUTs of a slice (`FIXED`,
            `PAIRS`, `ANY`). taken: from which wire to which the graph has the pips all the same.
        """
        grade = self._lists["speeds"][0] + speed * _SPEED.itemsize
        delays_at, n = self._slices(grade, 2)[1]
        delays = self._at(delays_at, _DELAY, n)
        sizes = np.array([len(t.down) for t in self._types], np.int64)[self._type_of]
        first = np.concatenate([[0], np.cumsum(sizes)])
        to, pip = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
        kept = np.empty(first[-1], bool)
        permutes, lut = self._pips["lut"] & _PERMUTES != 0, self._pips["lut"] >> _LUT & 7
        same_pair = (self._pips["lut"] >> _FROM & 3) // 2 == (self._pips["lut"] >> _TO & 3) // 2
        least = np.where(permutes, np.where(same_pair, PAIRS, ANY), FIXED).astype(np.uint8)
        for number, kind in enumerate(self._types):
            tiles = np.flatnonzero(self._type_of == number)
            if not len(tiles) or not len(kind.down):
                continue
            x = (tiles % self.width)[:, None] + kind.down["x"].astype(np.int32)
            y = (tiles // self.width)[:, None] + kind.down["y"].astype(np.int32)
            tile = y * self.width + x
            at = self._first_pip[self._type_of[tile]] + kind.down["pip"]
            pips = self._pips[at]
            end = self._first_wire[tile + pips["to_y"].astype(np.int32) * self.width + pips["to_x"]] + pips["sink"]
            source = self._first_wire[tiles][:, None] + kind.wire_of_down
            into = first[tiles][:, None] + np.arange(len(kind.down))
            to[into], pip[into] = end, at
            kept[into] = ~closed[end] & ~left[source] & (rules[tile, lut[at] // 2] >= least[at])
        counts = np.concatenate([self._types[t].counts for t in self._type_of])
        behind = np.concatenate([[0], np.cumsum(counts)])
        for begin, wire in taken:
            part = slice(behind[begin], behind[begin + 1])
            kept[part] |= to[part] == wire
        passed = np.concatenate([[0], np.cumsum(kept)])
        edges = np.empty(int(passed[-1]), EDGE)
        pip = pip[kept]
        edges["to"] = to[kept]
        if delays["most"].max() > _MOST_PS or delays["most_fanout"].max() > _MOST_PS or delays["most"].min() < 0:
            raise DatabaseError(f"delays of pips must be from 0 to {_MOST_PS} ps")
        delay = delays[self._pips["delay"][pip]]
        edges["ps"], edges["fanout_ps"] = delay["most"], delay["most_fanout"]
        return Graph(passed[behind].astype(np.int32), edges, pip)


class _Type:
    """A type of tile: names of its wires (numbers), its pips, and the pips that leave each wire, wherever they are."""

    def __init__(self, name: np.ndarray, pips: np.ndarray, down: list[np.ndarray]):
        self.name, self.pips = name, pips
        self.counts = np.array([len(d) for d in down], np.int64)
        self.down = np.concatenate([np.empty(0, _DOWN), *down])
        self.wire_of_down = np.repeat(np.arange(len(down)), self.counts)
        self.local = {int(n): i for i, n in enumerate(name)}
        #: Columns and rows (first, last) of itself and of the tiles in which pips leave it, relative.
        self.reach = np.zeros((len(name), 4), np.int32)
        np.minimum.at(self.reach[:, 0], self.wire_of_down, self.down["x"])
        np.maximum.at(self.reach[:, 1], self.wire_of_down, self.down["x"])
        np.minimum.at(self.reach[:, 2], self.wire_of_down, self.down["y"])
        np.maximum.at(self.reach[:, 3], self.wire_of_down, self.down["y"])

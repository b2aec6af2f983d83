"""Pictures of crystals: spheres, bonds and the edges of the conventional cell."""

from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.report.style import INK, canvas

_SIZE = 240.0
_MARGIN = 10.0
_SPHERE = 0.42  # drawn radius over covalent radius, so that bonds remain visible
_BOND = 1.15  # longest bond over the sum of the covalent radii
_EDGE_PIECES = 10

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Scene:
    """Atoms and cell edges in the frame of the viewer: x right, y up, z towards the eye, Å."""

    numbers: NDArray[np.int64]
    metal: NDArray[np.bool_]
    atoms: Array
    edges: Array  # (pieces, 2, 3)


@dataclass(frozen=True)
class Line:
    """A piece of an edge or a bond; ``depth`` grows towards the eye."""

    depth: float
    ends: tuple[tuple[float, float], tuple[float, float]]
    colour: str
    width: float
    opacity: float = 1.0

    def svg(self) -> str:
        """The line as an element of SVG."""
        (x1, y1), (x2, y2) = self.ends
        faint = f' stroke-opacity="{self.opacity:g}"' if self.opacity < 1 else ""
        return (
            f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{self.colour}"{faint} '
            f'stroke-width="{self.width:.1f}"/>'
        )

    def draw(self, axis: Axes, place: int) -> None:
        """Draw the line above all earlier places."""
        x, y = zip(*self.ends, strict=True)
        axis.plot(
            x, y, color=self.colour, lw=self.width, alpha=self.opacity, zorder=place,
            solid_capstyle="round",
        )  # fmt: skip


@dataclass(frozen=True)
class Sphere:
    """An atom."""

    depth: float
    middle: tuple[float, float]
    radius: float
    number: int

    def svg(self) -> str:
        """The sphere as an element of SVG, which refers to the gradient of its element."""
        x, y = self.middle
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{self.radius:.1f}" fill="url(#e{self.number})"/>'
        )

    def draw(self, axis: Axes, place: int) -> None:
        """Draw the sphere above all earlier places: discs that shrink towards the light."""
        stops, tones = zip(*_shades(self.number), strict=True)
        sizes = np.linspace(1, 0, 24, endpoint=False)
        colours = np.stack([np.interp(sizes, stops, channel) for channel in np.transpose(tones)])
        light = self.radius * np.array([-0.32, -0.4])
        discs = EllipseCollection(
            widths=2 * self.radius * sizes,
            heights=2 * self.radius * sizes,
            angles=np.zeros(len(sizes)),
            units="xy",
            offsets=np.array(self.middle) + (1 - sizes)[:, None] * light,
            offset_transform=axis.transData,
            facecolors=np.clip(colours, 0, 1).T,
            linewidths=0,
            zorder=place,
        )
        axis.add_collection(discs, autolim=False)


@dataclass(frozen=True)
class _View:
    middle: Array
    scale: float

    def at(self, point: Array) -> tuple[float, float]:
        x, y = (point[:2] - self.middle) * self.scale
        return _SIZE / 2 + float(x), _SIZE / 2 - float(y)

    def line(
        self, first: Array, last: Array, colour: str, width: float, opacity: float = 1
    ) -> Line:
        """A segment, as deep as its middle."""
        ends = self.at(first), self.at(last)
        return Line(float(first[2] + last[2]) / 2, ends, colour, width, opacity)


@dataclass(frozen=True)
class Picture:
    """A picture of a crystal.

    Attributes
    ----------
    parts
        Lines and spheres from the farthest to the nearest, on a square of :data:`_SIZE`.
    label
        Read out by screen readers.
    """

    parts: tuple[Line | Sphere, ...]
    label: str

    def svg(self) -> str:
        """The picture as a stand-alone SVG text."""
        elements = sorted({one.number for one in self.parts if isinstance(one, Sphere)})
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE:.0f} {_SIZE:.0f}" '
            f'width="{_SIZE:.0f}" height="{_SIZE:.0f}" role="img" '
            f'aria-label="{escape(self.label)}">'
            f"<defs>{''.join(_gradient(number) for number in elements)}</defs>"
            f'<g stroke-linecap="round">{"".join(one.svg() for one in self.parts)}</g></svg>'
        )

    def pdf(self) -> bytes:
        """The picture as PDF; the shading of a sphere is made of discs."""
        with canvas(width=_SIZE / 72, height=_SIZE / 72) as drawing:
            axis = drawing.axes[0]
            for place, one in enumerate(self.parts):
                one.draw(axis, place)
            axis.set(xlim=(0, _SIZE), ylim=(_SIZE, 0), aspect="equal")
            axis.set_axis_off()
        return drawing.pdf()


def draw(structure: Structure, *, label: str) -> Picture:
    """A picture of ``structure``, whose cell is drawn as it is.

    Atoms are jmol-coloured spheres; those on the border of the cell are repeated on the opposite
    one. Two atoms are bonded if they are nearer than 1.15 times the sum of their covalent radii and
    not both metals. ``label`` is read out by screen readers.
    """
    scene = _scene(structure)
    points = np.concatenate([scene.atoms, scene.edges.reshape(-1, 3)])[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    half = float((high - low).max()) / 2 + _SPHERE * float(covalent_radii[scene.numbers].max())
    view = _View(middle=(low + high) / 2, scale=(_SIZE / 2 - _MARGIN) / half)
    parts = _edges(scene, view) + _bonds(scene, view) + _spheres(scene, view)
    return Picture(tuple(sorted(parts, key=lambda part: part.depth)), label)


def _jmol(number: int) -> NDArray[np.float64]:
    """(3,) RGB of an element; the colours of Jmol end at Mt, which later elements share."""
    return np.asarray(jmol_colors[min(number, len(jmol_colors) - 1)], dtype=np.float64)


def colour(number: int) -> str:
    """Colour of an element (jmol), as #rrggbb."""
    return _hex(_jmol(number))


def _scene(structure: Structure) -> _Scene:
    numbers, fractions, metal = [], [], []
    for site in structure:
        element = next(iter(site.species.elements))
        wrapped = site.frac_coords % 1.0
        ends = [(0.0, 1.0) if min(f, 1 - f) < 1e-3 else (0.0,) for f in wrapped]
        wrapped = np.where(wrapped > 1 - 1e-3, 0.0, wrapped)
        for i in ends[0]:
            for j in ends[1]:
                for k in ends[2]:
                    numbers.append(int(element.Z))
                    metal.append(bool(element.is_metal))
                    fractions.append(wrapped + np.array([i, j, k]))
    matrix = np.asarray(structure.lattice.matrix, dtype=float)
    turn = _camera(matrix)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
    pieces = []
    for first in corners:
        for axis in range(3):
            if first[axis] == 0:
                last = first.copy()
                last[axis] = 1.0
                stops = first + np.linspace(0, 1, _EDGE_PIECES + 1)[:, None] * (last - first)
                pieces += list(pairwise(stops))
    return _Scene(
        numbers=np.array(numbers, dtype=np.int64),
        metal=np.array(metal, dtype=bool),
        atoms=np.array(fractions) @ matrix @ turn.T,
        edges=np.array(pieces) @ matrix @ turn.T,
    )


def _camera(matrix: Array) -> Array:
    """Rotation to the viewer: c upwards, a to the right, seen from a little above and aside."""
    up = matrix[2] / np.linalg.norm(matrix[2])
    right = matrix[0] - (matrix[0] @ up) * up
    right /= np.linalg.norm(right)
    frame = np.array([right, up, np.cross(right, up)])
    azimuth, elevation = np.radians([-18.0, 13.0])
    turn = np.array(
        [
            [np.cos(azimuth), 0, np.sin(azimuth)],
            [0, 1, 0],
            [-np.sin(azimuth), 0, np.cos(azimuth)],
        ]
    )
    tilt = np.array(
        [
            [1, 0, 0],
            [0, np.cos(elevation), -np.sin(elevation)],
            [0, np.sin(elevation), np.cos(elevation)],
        ]
    )
    return np.asarray(tilt @ turn @ frame, dtype=float)


def _edges(scene: _Scene, view: _View) -> list[Line | Sphere]:
    return [view.line(first, last, INK, 1.0, 0.45) for first, last in scene.edges]


def _bonds(scene: _Scene, view: _View) -> list[Line | Sphere]:
    """Each bond as two halves in the colours of its atoms."""
    radii = covalent_radii[scene.numbers]
    gaps = np.linalg.norm(scene.atoms[:, None] - scene.atoms[None], axis=-1)
    near = (gaps < _BOND * (radii[:, None] + radii[None])) & (gaps > 0.4)
    near &= ~(scene.metal[:, None] & scene.metal[None])
    width = max(2.0, 0.16 * view.scale)
    parts: list[Line | Sphere] = []
    for i, j in np.argwhere(np.triu(near, k=1)):
        middle = (scene.atoms[i] + scene.atoms[j]) / 2
        for index in (i, j):
            tone = _hex(0.82 * _jmol(scene.numbers[index]))
            parts.append(view.line(scene.atoms[index], middle, tone, width))
    return parts


def _spheres(scene: _Scene, view: _View) -> list[Line | Sphere]:
    return [
        Sphere(
            depth=float(point[2]),
            middle=view.at(point),
            radius=view.scale * _SPHERE * float(covalent_radii[number]),
            number=int(number),
        )
        for number, point in zip(scene.numbers, scene.atoms, strict=True)
    ]


def _shades(number: int) -> list[tuple[float, Array]]:
    """Distance from the light, 0 to 1, and colour there, of a sphere lit from the upper left."""
    base = _jmol(number)
    return [(0, base + 0.75 * (1 - base)), (0.45, base), (0.88, 0.62 * base), (1, 0.35 * base)]


def _gradient(number: int) -> str:
    stops = _shades(number)
    text = "".join(f'<stop offset="{where}" stop-color="{_hex(tone)}"/>' for where, tone in stops)
    return (
        f'<radialGradient id="e{number}" cx=".5" cy=".5" fx=".34" fy=".3">{text}</radialGradient>'
    )


def _hex(rgb: Array) -> str:
    red, green, blue = (round(255 * min(1.0, max(0.0, float(part)))) for part in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"

"""The picture: rates against what is in flight and against the downstream's latency, as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tests.performance.report import FLOOR, LIMIT, OURS
from tests.performance.trials import JAVA, STEADY_IN_FLIGHT, STEADY_MS

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""By contender: place on the axis, and events a second."""

WIDTH, HEIGHT = 1000, 440
_TOP, _BOTTOM = 76, 372
_FONT = "Helvetica, Arial, sans-serif"
_INK, _FAINT, _PAPER = "#1b1f24", "#d8dde3", "#ffffff"


@dataclass(frozen=True, slots=True)
class Line:
    """How a contender is drawn."""

    label: str
    colour: str
    dashes: str = ""


LINES = {
    LIMIT: Line("what the downstream allows", "#8c959f", "5 4"),
    OURS: Line("fabric", "#0550ae"),
    JAVA: Line("Parallel Consumer (Java)", "#bc4c00"),
    FLOOR: Line("one after the other (raw loop, Quix, FastStream, Faust)", "#57606a"),
}
"""Those that can be told apart without colours as well: each has a mark of its own."""
MARKS = {OURS: "circle", JAVA: "square", FLOOR: "diamond"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes, both logarithmic."""

    title: str
    axis: str
    left: float
    right: float
    places: tuple[float, float]
    rates: tuple[float, float]

    def x(self, place: float) -> float:
        """Where a place is."""
        low, high = self.places
        return self.left + (math.log(place) - math.log(low)) / (math.log(high) - math.log(low)) * (self.right - self.left)

    def y(self, rate: float) -> float:
        """Where a rate is."""
        low, high = (math.log10(each) for each in self.rates)
        return _BOTTOM - (math.log10(rate) - low) / (high - low) * (_BOTTOM - _TOP)


def draw(by_in_flight: Curves, by_latency: Curves) -> str:
    """Both panels, one beside the other."""
    rates = _span([by_in_flight, by_latency])
    panels = (
        (Panel(f"{STEADY_MS:g} ms downstream", "in flight", 70, 480, _places(by_in_flight), rates), by_in_flight),
        (Panel(f"{STEADY_IN_FLIGHT} in flight", "downstream, ms", 560, 970, _places(by_latency), rates), by_latency),
    )
    parts = [part for panel, curves in panels for part in _panel(panel, curves)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{_FONT}">',
            "<title>Events a second, in order of keys, whose handlers wait for a downstream</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>',
            _text(20, 28, "Events a second, in order of 1,000 keys, whose handlers wait for a downstream", size=16),
            *parts,
            *_legend([name for name in LINES if by_in_flight.get(name) or by_latency.get(name)]),
            "</svg>\n",
        ]
    )


def _places(curves: Curves) -> tuple[float, float]:
    found = [place for points in curves.values() for place, _ in points]
    return min(found), max(found)


def _span(all_curves: Sequence[Curves]) -> tuple[float, float]:
    """Whole powers of ten around what was measured; the limit may leave the picture at the top."""
    found = [rate for curves in all_curves for name, points in curves.items() if name != LIMIT for _, rate in points]
    return 10.0 ** math.floor(math.log10(min(found))), 10.0 ** math.ceil(math.log10(max(found)))


def _panel(panel: Panel, curves: Curves) -> list[str]:
    found = [_text(panel.left, _TOP - 16, panel.title, weight="bold")]
    exponent = round(math.log10(panel.rates[0]))
    while 10**exponent <= panel.rates[1]:
        y = panel.y(10**exponent)
        found.append(f'<line x1="{panel.left}" y1="{y:.1f}" x2="{panel.right}" y2="{y:.1f}" stroke="{_FAINT}"/>')
        found.append(_text(panel.left - 8, y + 4, f"{10**exponent:,}", anchor="end"))
        exponent += 1
    for place in sorted({place for points in curves.values() for place, _ in points}):
        x = panel.x(place)
        found.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_BOTTOM}" stroke="{_FAINT}"/>')
        found.append(_text(x, _BOTTOM + 18, f"{place:,g}", anchor="middle"))
    found.append(_text((panel.left + panel.right) / 2, _BOTTOM + 34, panel.axis, anchor="middle"))
    return found + [part for name in LINES if curves.get(name) for part in _curve(panel, name, sorted(curves[name]))]


def _curve(panel: Panel, name: str, points: Sequence[tuple[float, float]]) -> list[str]:
    line = LINES[name]
    if name == LIMIT:
        points = _within(points, panel.rates[1])
    places = [(panel.x(place), panel.y(rate)) for place, rate in points]
    dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    found = [f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dashes}/>'] if len(places) > 1 else []
    if name == LIMIT:
        return found
    return found + [
        _mark(name, x, y, f"{line.label}: {rate:,.0f}/s at {place:,g} ({panel.axis})")
        for (x, y), (place, rate) in zip(places, points, strict=True)
    ]


def _within(points: Sequence[tuple[float, float]], highest: float) -> list[tuple[float, float]]:
    """The limit as far as the picture goes: it is a straight line here, and is cut where it leaves."""
    found = [point for point in points if point[1] <= highest]
    (a, low), (b, high) = points[0], points[-1]
    if low == high or len(found) == len(points):
        return found
    share = (math.log(highest) - math.log(low)) / (math.log(high) - math.log(low))
    edge = (math.exp(math.log(a) + share * (math.log(b) - math.log(a))), highest)
    return sorted([*found, edge])


def _mark(name: str, x: float, y: float, told: str) -> str:
    colour, title = LINES[name].colour, f"<title>{escape(told)}</title>"
    match MARKS[name]:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}">{title}</circle>'
        case "square":
            return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}">{title}</rect>'
        case _:
            return f'<path d="M{x:.1f},{y - 5.5:.1f} l5.5,5.5 l-5.5,5.5 l-5.5,-5.5 z" fill="{colour}">{title}</path>'


def _legend(names: Sequence[str]) -> list[str]:
    found, x = [], 20.0
    for name in names:
        line = LINES[name]
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        found.append(f'<line x1="{x:.1f}" y1="426" x2="{x + 26:.1f}" y2="426" stroke="{line.colour}" stroke-width="2"{dashes}/>')
        if name != LIMIT:
            found.append(_mark(name, x + 13, 426, line.label))
        found.append(_text(x + 32, 430, line.label))
        x += 56 + 6.6 * len(line.label)
    return found


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, weight: str = "normal") -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{_INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'

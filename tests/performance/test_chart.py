"""The benchmark's picture says what was measured."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tests.performance.chart import HEIGHT, WIDTH, Curves, draw
from tests.performance.report import FLOOR, LIMIT, OURS
from tests.performance.trials import JAVA

BY_IN_FLIGHT: Curves = {
    LIMIT: [(1, 20), (100, 2_000), (1_000, 20_000)],
    OURS: [(1, 19), (100, 1_950), (1_000, 7_000)],
    JAVA: [(100, 1_900)],
    FLOOR: [(1, 20)],
}
BY_LATENCY: Curves = {LIMIT: [(1, 100_000), (50, 2_000)], OURS: [(1, 8_000), (50, 1_950)], JAVA: [], FLOOR: []}
SVG = "{http://www.w3.org/2000/svg}"


def elements(picture: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(picture).iter(f"{SVG}{name}"))


def test_every_point_is_marked_and_says_its_figure() -> None:
    picture = draw(BY_IN_FLIGHT, BY_LATENCY)
    assert len(elements(picture, "circle")) == 5 + 1  # and one in the legend
    said = {title.text for title in elements(picture, "title")}
    assert {"fabric: 1,950/s at 100 (in flight)", "fabric: 8,000/s at 1 (downstream, ms)"} <= said
    assert "one after the other (raw loop, Quix, FastStream, Faust): 20/s at 1 (in flight)" in said


def test_more_is_higher_and_further_to_the_right() -> None:
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in elements(draw(BY_IN_FLIGHT, BY_LATENCY), "circle")]
    (x1, y1), (x2, y2), (x3, y3) = circles[:3]
    assert x1 < x2 < x3
    assert y1 > y2 > y3


def test_nothing_is_drawn_outside_of_the_picture() -> None:
    picture = draw(BY_IN_FLIGHT, BY_LATENCY)
    for line in elements(picture, "polyline"):
        for x, y in re.findall(r"([\d.-]+),([\d.-]+)", line.attrib["points"]):
            assert 0 <= float(x) <= WIDTH
            assert 60 <= float(y) <= HEIGHT


def test_the_limit_is_cut_where_it_leaves_the_picture() -> None:
    picture = draw(BY_IN_FLIGHT, BY_LATENCY)
    limits = [line.attrib["points"].split() for line in elements(picture, "polyline") if "stroke-dasharray" in line.attrib]
    assert len(limits) == 2
    highest = min(float(point.split(",")[1]) for points in limits for point in points)
    assert highest == pytest.approx(76)


def test_who_is_not_there_is_in_no_legend() -> None:
    without = draw({LIMIT: [(1, 20), (10, 200)], OURS: [(1, 19), (10, 190)]}, {LIMIT: [(1, 100), (5, 20)], OURS: [(1, 90), (5, 18)]})
    assert "Parallel Consumer" not in without
    assert "fabric" in without

"""Line charts as inline SVG: numbers in, markup out; no script, colours from the page's style."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 92, 16, 44
MIDDLE: Final = (TOP + HEIGHT - BOTTOM) / 2
COLOURS: Final = 7  # classes s0 to s6 of the page's style

Point = tuple[float, float]


def line_chart(title: str, x_title: str, y_title: str, lines: Mapping[str, Sequence[Point]]) -> str:
    """Return a chart with one line for each name: x by powers of two, y from zero; lines carry their names."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    ticks = sorted({x for x, _ in points})
    top = nice_top(max(y for _, y in points))
    axes = [
        f'<line class="axis" x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{HEIGHT - BOTTOM}"/>',
        *(_x_tick(x, ticks) for x in ticks),
        *(_y_tick(top * part / 4, top) for part in range(5)),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>',
        f'<text x="14" y="{MIDDLE}" text-anchor="middle" transform="rotate(-90 14 {MIDDLE})">{escape(y_title)}</text>',
    ]
    drawn = [_line(index, name, line, ticks, top) for index, (name, line) in enumerate(lines.items())]
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(axes)}{"".join(drawn)}</svg></figure>'
    )


def nice_top(value: float) -> float:
    """Return the smallest of 1, 2, 4, 5, 8 times a power of ten that is not below `value`."""
    if value < sys.float_info.min:  # nothing, or too small for steps of its own
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * (1 - 1e-9))


def _at_x(x: float, ticks: Sequence[float]) -> float:
    low, high = math.log2(ticks[0]), math.log2(ticks[-1])
    share = (math.log2(x) - low) / (high - low) if high > low else 0.5
    return round(LEFT + share * (WIDTH - RIGHT - LEFT), 1)


def _at_y(y: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP), 1)


def _x_tick(x: float, ticks: Sequence[float]) -> str:
    return f'<text x="{_at_x(x, ticks)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:g}</text>'


def _y_tick(y: float, top: float) -> str:
    at = _at_y(y, top)
    grid = f'<line class="grid" x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}"/>'
    return f'{grid}<text x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{y:g}</text>'


def _line(index: int, name: str, line: Sequence[Point], ticks: Sequence[float], top: float) -> str:
    placed = [(_at_x(x, ticks), _at_y(y, top)) for x, y in sorted(line)]
    if not placed:
        return ""
    path = " ".join(f"{x},{y}" for x, y in placed)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in placed)
    x, y = placed[-1]
    label = f'<text x="{x + 8}" y="{y + 4}">{escape(name)}</text>'
    return f'<g class="s{index % COLOURS}"><polyline points="{path}"/>{dots}{label}</g>'

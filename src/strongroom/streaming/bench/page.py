"""The plot of a run: one HTML file with results over time and latency by share of the records. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from strongroom.client.bench_html import STYLE
from strongroom.client.bench_svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, nice_top

Point = tuple[float, float]
PARTS: Final = 4  # of each axis


def page(title: str, found: Mapping[str, Any], rate: Sequence[Point], latency: Sequence[Point]) -> str:
    """Return the page; everything that came from outside is escaped."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in found.items())
    charts = chart("Results per second", "seconds", rate) + chart("Latency, ms", "percent of the records", latency)
    head = f'<meta charset="utf-8"/><title>{escape(title)}</title><style>{STYLE}</style>'
    body = f'<h1>{escape(title)}</h1><div class="charts">{charts}</div><table>{rows}</table>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def chart(title: str, x_title: str, points: Sequence[Point]) -> str:
    """Return a line chart as inline SVG, both axes from zero; nothing without points."""
    if not points:
        return ""
    right, top = max(x for x, _ in points), nice_top(max(y for _, y in points))

    def at(x: float, y: float) -> str:
        across = LEFT + (x / right if right else 0) * (WIDTH - RIGHT - LEFT)
        return f"{across:.1f},{HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP):.1f}"

    ticks = []
    for part in range(PARTS + 1):
        across, down = at(right * part / PARTS, top * part / PARTS).split(",")
        grid = f'<line class="grid" x1="{LEFT}" y1="{down}" x2="{WIDTH - RIGHT}" y2="{down}"/>'
        y_text = f'<text x="{LEFT - 6}" y="{down}" text-anchor="end">{top * part / PARTS:g}</text>'
        x_text = f'<text x="{across}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{right * part / PARTS:.3g}</text>'
        ticks += [grid, y_text, x_text]
    name = f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
    line = f'<polyline class="s0" points="{" ".join(at(x, y) for x, y in points)}"/>'
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(ticks)}{name}{line}</svg></figure>'
    )

"""Two kinds of plots as SVG: bars of ratios, and cost against size, both with a log scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLORS = ("#1b6ca8", "#e07a1f", "#4f9d4f", "#c23b3b", "#8661b3", "#8c6d5a", "#d16ba5", "#777777")
_WIDTH, _LEFT, _RIGHT = 760, 250, 70
_ROW = 15


def ratio_bars(bars: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each contestant in each scenario; shorter is better, the line in the middle is 1.

    Args:
        bars: FileStore's time as a part of the contestant's, by scenario and contestant.
    """
    ratios = [ratio for group in bars.values() for ratio in group.values()]
    low = math.floor(math.log10(min([0.1, *ratios])))
    high = math.ceil(math.log10(max([1.0, *ratios])))
    titles = list(dict.fromkeys(title for group in bars.values() for title in group))
    colors = dict(zip(titles, _COLORS[1:], strict=False))

    def across(ratio: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(ratio) - low) / (high - low)

    parts, y = [], 24.0
    top = y
    for name, group in bars.items():
        parts.append(_text(_LEFT - 110, y + 11, name, anchor="end", width=140))
        for title, ratio in group.items():
            width = max(across(ratio) - _LEFT, 1)
            parts.append(_text(_LEFT - 6, y + 11, title, anchor="end", muted=True))
            parts.append(
                f'<rect x="{_LEFT}" y="{y + 2:.0f}" width="{width:.1f}" height="{_ROW - 4}" '
                f'fill="{colors[title]}"/>'
            )
            parts.append(_text(_LEFT + width + 4, y + 11, f"{ratio:.2g}"))
            y += _ROW
        y += 10
    for power in range(low, high + 1):
        x = across(10.0**power)
        parts.insert(0, _line(x, top, x, y, strong=power == 0))
        parts.append(_text(x, y + 14, f"{10.0**power:g}", anchor="middle"))
    caption = "FileStore's time as a part of the other's: less than 1 is faster than the other"
    parts.append(_text(_LEFT, 14, caption))
    return _svg(_WIDTH, y + 24, parts)


def size_lines(name: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Microseconds against the number of records, a line for each contestant.

    Args:
        name: The scenario.
        lines: Points of (records, seconds), by contestant.
    """
    points = [point for line in lines.values() for point in line]
    left, right, top, bottom = 60, _WIDTH - 150, 30, 330
    low = math.floor(math.log10(min(took for _, took in points) * 1e6))
    high = math.ceil(math.log10(max(took for _, took in points) * 1e6))
    first, last = (math.log10(find(size for size, _ in points)) for find in (min, max))

    def at(size: int, took: float) -> tuple[float, float]:
        x = left + (right - left) * (math.log10(size) - first) / (last - first)
        return x, bottom - (bottom - top) * (math.log10(took * 1e6) - low) / (high - low)

    parts = [_text(left, 16, f"{name}: µs against the number of records")]
    for power in range(low, high + 1):
        _, y = at(1, 10.0**power / 1e6)
        parts += [
            _line(left, y, right, y),
            _text(
                left - 6,
                y + 4,
                f"{10**power:,}" if power >= 0 else f"{10.0**power:g}",
                anchor="end",
            ),
        ]
    for size in sorted({size for size, _ in points}):
        x, _ = at(size, 1)
        parts += [_line(x, top, x, bottom), _text(x, bottom + 16, f"{size:,}", anchor="middle")]
    ends = []
    for (title, line), color in zip(lines.items(), _COLORS, strict=False):
        drawn = [at(size, took) for size, took in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        width = 3 if title == "FileStore" else 1.5
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in drawn]
        ends.append((drawn[-1][1], drawn[-1][0], title, color))
    lowest = -math.inf
    for y, x, title, color in sorted(ends):
        lowest = max(y, lowest + 13)  # names must not lie on one another
        parts.append(_text(x + 8, lowest + 4, title, color=color))
    return _svg(_WIDTH, bottom + 26, parts)


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    muted: bool = False,
    color: str = "#222222",
    width: float | None = None,
) -> str:
    color = "#666666" if muted else color
    fit = "" if width is None or len(text) * 5.5 < width else f' textLength="{width:.0f}"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"{fit}>'
        f"{escape(text)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, *, strong: bool = False) -> str:
    color = "#444444" if strong else "#dddddd"
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'

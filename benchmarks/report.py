"""What was measured, as tables of text and as a page with plots."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING

from benchmarks import plots
from benchmarks.contestants import CONTESTANTS
from benchmarks.goals import goals
from benchmarks.measure import Samples, What
from benchmarks.scenarios import FIND, GET, GROUPS, MEMORY, PUT, SMALL, Effort

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.measure import Ratio

_BEGIN, _END = "<!-- figures: written by make bench-report -->", "<!-- end of figures -->"
TITLES = [contestant.title for contestant in CONTESTANTS]


def tables(samples: Samples, effort: Effort) -> str:
    """Everything as Markdown tables."""
    largest = max(size for size in effort.sizes if size <= 100_000)
    parts = [_goal_table(samples, effort)]
    for group, names in GROUPS.items():
        size = largest if group == "Queries" else SMALL
        title = f"### {group}, stores of {size:,} records"
        parts += [title, _group_table(samples, names, size)]
    parts += ["### Cost against the size of the store", _size_table(samples, effort.sizes)]
    return "\n\n".join(parts) + "\n"


def write(samples: Samples, effort: Effort, page: Path) -> None:
    """Put tables and plots into a page, between its marks; what is around them stays."""
    pictures = page.parent / "performance"
    pictures.mkdir(exist_ok=True)
    shown = []
    for group, names in GROUPS.items():
        size = SMALL if group != "Queries" else max(s for s in effort.sizes if s <= 100_000)
        file = f"{group.lower().replace(' ', '-')}.svg"
        bars = {
            name: {
                title: ratio.median
                for title in TITLES[1:]
                if (ratio := _ratio(samples, name, size, title)) is not None
            }
            for name in names
        }
        if any(bars.values()):
            (pictures / file).write_text(plots.ratio_bars(bars), "utf-8")
            caption = f"{group}: FileStore's time as a part of the others'"
            shown.append(f"![{caption}](performance/{file})")
    for name in (PUT, GET, FIND):
        file = f"{name.split(',')[0].replace(' ', '-')}-by-size.svg"
        lines = {
            title: points
            for title in TITLES
            if len(points := _by_size(samples, name, title, effort.sizes)) > 1
        }
        if lines:
            (pictures / file).write_text(plots.size_lines(name, lines), "utf-8")
            shown.append(f"![{name}, against the number of records](performance/{file})")
    middle = "\n\n".join(["", _machine(effort), tables(samples, effort).strip(), *shown, ""])
    text = page.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{middle}\n{_END}{after}", "utf-8")


def _machine(effort: Effort) -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = re.search(r"model name\s*: (.*)", file.read())
    except OSError:
        model = None
    processor = model[1].strip() if model else platform.processor() or platform.machine()
    return (
        f"Measured with Python {platform.python_version()} on {platform.system()} "
        f"{platform.release().split('-')[0]}, {os.cpu_count()} cores ({processor}); "
        f"{effort.rounds} rounds, medians, least and greatest ratio in brackets."
    )


def _goal_table(samples: Samples, effort: Effort) -> str:
    rows = []
    for goal in goals(effort.sizes):
        reached = goal.reached(samples)
        verdict = "not measured" if reached is None else "missed"
        if reached is not None and reached.median <= goal.limit:
            verdict = "reached"
        digits = 1 if goal.difference else 3 if goal.limit < 0.1 else 2
        value = "" if reached is None else _ratio_text(reached, digits)
        rows.append([goal.text, f"≤ {goal.limit:g}", value, verdict])
    return _table(["goal", "limit", "measured", ""], rows)


def _group_table(samples: Samples, names: list[str], size: int) -> str:
    rows: list[list[str]] = []
    for name in names:
        for title in TITLES:
            what = What(name, size, title)
            took = samples.median(what)
            if took is None:
                continue
            built = samples.median(what._replace(scenario=f"{name}: construction")) or 0.0
            ratio = _ratio(samples, name, size, title)
            shown = "" if title == "FileStore" or ratio is None else _ratio_text(ratio)
            apart = "" if name.startswith(("get", "delete", "equality", "the same")) else built
            rows.append([_once(name, rows), title, _micro(took), _micro(apart), shown])
    return _table(["scenario", "store", "µs", "construction, µs", "FileStore / it"], rows)


def _size_table(samples: Samples, sizes: tuple[int, ...]) -> str:
    rows: list[list[str]] = []
    for name in (PUT, GET, FIND):
        for title in TITLES:
            points = dict(_by_size(samples, name, title, sizes))
            if points:
                cells = (_micro(points.get(size, "")) for size in sizes)
                rows.append([_once(name, rows), title, *cells])
    memory = dict(_by_size(samples, MEMORY, "FileStore", sizes))
    if memory:
        cells = (f"{memory[size] / 1e6:.0f}" for size in sizes)
        rows.append([f"{MEMORY}, MB", "FileStore", *cells])
    return _table(["µs", "store", *(f"{size:,} records" for size in sizes)], rows)


def _once(name: str, rows: list[list[str]]) -> str:
    """The name of a scenario, unless a row above has it already."""
    return "" if any(row[0] == name for row in rows) else name


def _by_size(
    samples: Samples, name: str, title: str, sizes: Iterable[int]
) -> list[tuple[int, float]]:
    points = ((size, samples.median(What(name, size, title))) for size in sizes)
    return [(size, took) for size, took in points if took is not None]


def _ratio(samples: Samples, name: str, size: int, title: str) -> Ratio | None:
    return samples.ratio(What(name, size, "FileStore"), What(name, size, title))


def _ratio_text(ratio: Ratio, digits: int = 2) -> str:
    digits = 3 if ratio.median < 0.1 and digits == 2 else digits
    return f"{ratio.median:.{digits}f} ({ratio.least:.{digits}f} to {ratio.most:.{digits}f})"


def _micro(seconds: float | str) -> str:
    if isinstance(seconds, str):
        return seconds
    return f"{1e6 * seconds:,.0f}" if seconds > 20e-6 else f"{1e6 * seconds:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns are aligned in the source, too."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, ["-" * width for width in widths], *rows)
    ]
    return "\n".join(lines)

"""`stats`: a data directory in numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from filestore.check import Scan
from filestore.cli.directory import directory_argument, json_option, opened
from filestore.cli.reading import when
from filestore.cli.terminal import Progress, cell, count, say, say_json
from filestore.disk import inspection, layout

if TYPE_CHECKING:
    from filestore.database import Database
    from filestore.disk.layout import Key


@click.command()
@directory_argument
@json_option
def stats(directory: str, as_json: bool) -> None:
    """Count what is in a data directory, and tell the state of its index and log.

    Example: filestore stats data
    """
    found = _count(opened(directory))
    if as_json:
        say_json(found)
        return
    for name, value in found.items():
        text = f"{value:,}" if type(value) is int else cell(value, whole=True)
        say(f"{name.replace('_', ' '):<16}{text or 'none'}")


def _count(database: Database) -> dict[str, Any]:
    files = database.files
    sizes: dict[Key, int] = {}
    times: dict[Key, float] = {}
    records = points = series = 0
    with Progress("Counting") as progress:
        for model in files.models():
            for name in files.names(model):
                path = f"{layout.directory_of(model)}/{name}"
                key = layout.key_of(path)
                if key is None:
                    continue
                status = os.lstat(files.path(path))
                sizes[key] = sizes.get(key, 0) + status.st_size
                if layout.uid_of(name) is not None:
                    records += 1
                    times[key] = status.st_mtime
                elif layout.series_of(name) is not None:
                    series += 1
                    points += _lines(database, path)
                progress(records)
    with Progress("Checking") as progress:
        scan = Scan(files.root, progress)
    codes = [problem.code for problem in scan.problems]
    marks = database.log.marks()
    return {
        "models": len(files.models()),
        "records": records,
        "links": sum(len(keys) for links in scan.links.values() for keys in links.values()),
        "series": series,
        "points": points,
        "bytes": sum(sizes.values()),
        "largest": _extreme(sizes, "{:,} bytes", last=True),
        "oldest": _extreme(times, "{}", last=False),
        "newest": _extreme(times, "{}", last=True),
        "dangling_links": codes.count("FS201"),
        "orphaned_files": codes.count("FS204") + codes.count("FS205"),
        "problems": len(codes),
        "index": _index(database, "FS402" in codes),
        "log": _log(database, marks.committed, pending=marks.pending),
    }


def _lines(database: Database, path: str) -> int:
    """The points of a series, counted by line, so that a damaged file is counted too."""
    try:
        data = database.files.read(path) or b""
    except (OSError, ValueError):
        return 0
    return sum(1 for line in data.splitlines() if line.strip())


def _extreme(values: dict[Key, Any], form: str, *, last: bool) -> str | None:
    if not values:
        return None
    key = (max if last else min)(values, key=lambda key: (values[key], key))
    value = values[key]
    return f"{key.link} ({form.format(value if type(value) is int else when(value))})"


def _index(database: Database, damaged: bool) -> str:
    if damaged:
        return "damaged: reindex makes it anew"
    behind = inspection.behind(database.files)
    if behind is None:
        return "none: made when it is needed"
    if behind == 0:
        return "up to date"
    return f"behind by {count(behind, 'file')}: catches up when it is needed"


def _log(database: Database, committed: int, *, pending: bool) -> str:
    try:
        size = os.path.getsize(database.files.path(layout.LOG))
    except OSError:
        return "none: made when it is needed"
    state = "one commit is not finished: recover finishes it" if pending else "all is applied"
    return f"{size:,} bytes, last commit {committed}, {state}"

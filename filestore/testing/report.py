"""Differences as people read them: lines with ``-`` were expected, lines with ``+`` were found."""

from __future__ import annotations

import difflib
import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from filestore.comparison import ABSENT, Record, said
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filestore.comparison import Change
    from filestore.disk.layout import Key

_WIDTH = 72
_SHOWN = 15


def report(changes: list[Change], *, full: bool) -> str:
    """All differences, the record with the most important one first.

    Args:
        changes: The differences, most important first.
        full: Show every one; otherwise only the first few.
    """
    order = {key: number for number, key in enumerate(dict.fromkeys(c.key for c in changes))}
    grouped = sorted(changes, key=lambda change: order[change.key])
    shown = grouped if full else grouped[:_SHOWN]
    lines: list[str] = []
    for key, group in groupby(shown, key=lambda change: change.key):
        mine = list(group)
        if mine[0].field is not None:
            lines.append(f"  {key.link}")
        for change in mine:
            lines += _lines(change)
    if len(shown) < len(changes):
        lines.append(f"… {_count(len(changes) - len(shown), 'more difference')}: -v shows all")
    return "\n".join(lines)


def summary(changes: list[Change]) -> str:
    """The most important difference in a few words, and how many more there are."""
    first = _sentence(changes[0])
    more = len(changes) - 1
    return first if not more else f"{first}, and {_count(more, 'more difference')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _sentence(change: Change) -> str:
    where = _where(change)
    for side in (change.new, change.old):
        if isinstance(side, CorruptFileError):
            return str(side)
    if change.kind == "link":
        return f"{where} {'lacks' if change.new is ABSENT else 'should not have'} {change.item}"
    if change.action == "removed":
        return f"{where} is missing"
    if change.action == "added":
        return f"{where} is unexpected"
    if change.kind in ("relationship", "series"):
        return f"{where} has another order"
    return f"{where} is {_short(change.new)}, not {_short(change.old)}"


def _where(change: Change) -> str:
    where = change.key.link + (f".{change.field}" if change.field is not None else "")
    return f"{where} at {change.item}" if change.kind == "point" else where


def _lines(change: Change) -> Iterator[str]:
    if change.field is None:
        for sign, side in (("-", change.old), ("+", change.new)):
            if side is not ABSENT:
                yield f"{sign} {change.key.link}  {_whole(change.key, side)}"
        return
    if change.kind == "link":
        yield f"{'-' if change.new is ABSENT else '+'}   {change.field}: {change.item}"
        return
    field = change.field if change.item is None else f"{change.field} at {change.item}"
    old, new = _pretty(change.old), _pretty(change.new)
    if len(old) <= 1 and len(new) <= 1:
        yield from (f"-   {field}: {line}" for line in old)
        yield from (f"+   {field}: {line}" for line in new)
        return
    yield f"    {field}:"
    for line in difflib.ndiff(old, new):
        if not line.startswith("?"):
            yield f"{line[0]}     {line[2:]}"


def _whole(key: Key, side: Record | CorruptFileError) -> str:
    """What a record holds, or why it cannot be read."""
    if isinstance(side, CorruptFileError):
        return str(side)
    links = {name: [target.link for target in targets] for name, targets in side.links.items()}
    series = {name: f"{len(points)} points" for name, points in side.series.items()}
    return _short({**said(key, side.properties), **links, **series})


def _pretty(side: Any) -> list[str]:
    """A side of a difference: on one line if it fits, no line if there is none."""
    if side is ABSENT:
        return []
    text = _json(side)
    return (
        [text]
        if len(text) <= _WIDTH
        else json.dumps(side, ensure_ascii=False, indent=2, sort_keys=True).splitlines()
    )


def _short(value: Any) -> str:
    text = _json(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)

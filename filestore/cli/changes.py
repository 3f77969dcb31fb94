"""Changes of records as the commands show them: lines for people, objects for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from filestore.versions import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filestore.versions import Change, RecordChanges

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def lines(record: RecordChanges) -> Iterator[str]:
    """The lines that show what differs in one record, safe for a terminal."""
    yield f"{_SIGNS[record.status]} {printable(record.key.link)}"
    for change in record.changes:
        yield f"    {_line(change)}"


def document(record: RecordChanges) -> dict[str, Any]:
    """What differs in one record, as JSON."""
    return {
        "model": record.key.model,
        "uid": record.key.uid,
        "status": record.status,
        "changes": [_item(change) for change in record.changes],
    }


def printable(text: str) -> str:
    """A text without anything that a terminal would take for a command."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _line(change: Change) -> str:
    if change.kind == "file":
        return f"! {printable(str(change.after))}"
    before, after = change.before, change.after
    if change.kind == "link":
        sign, value = ("+", after) if before is ABSENT else ("-", before)
        return f"{sign} {printable(change.name)}: {printable(value)}"
    name = change.name if change.item is None else f"{change.name} at {change.item}"
    if before is ABSENT:
        return f"+ {printable(name)}: {_json(after)}"
    if after is ABSENT:
        return f"- {printable(name)}: {_json(before)}"
    return f"~ {printable(name)}: {_json(before)} -> {_json(after)}"


def _item(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": change.kind, "name": change.name}
    if change.item is not None:
        found["item"] = change.item
    for side in ("before", "after"):
        if getattr(change, side) is not ABSENT:
            found[side] = getattr(change, side)
    return found


def to_json(value: Any) -> str:
    """A value as JSON on one line; integers may have any length."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json(value: Any) -> str:
    return printable(to_json(value))

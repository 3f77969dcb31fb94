"""Changes of records as the commands show them: lines for people, objects for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from filestore.comparison import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filestore.comparison import Change
    from filestore.versions import RecordChanges

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
        return f"! {printable(str(change.new))}"
    sign = _SIGNS[change.action]
    if change.kind == "link":
        return f"{sign} {printable(f'{change.field}: {change.item}')}"
    name = change.field if change.item is None else f"{change.field} at {change.item}"
    values = [_json(side) for side in (change.old, change.new) if side is not ABSENT]
    return f"{sign} {printable(f'{name}: ')}{' -> '.join(values)}"


def _item(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": change.kind, "name": change.field}
    if change.item is not None:
        found["item"] = str(change.item)
    sides = {"before": change.old, "after": change.new}
    return found | {name: side for name, side in sides.items() if side is not ABSENT}


def to_json(value: Any, *, sort_keys: bool = False) -> str:
    """A value as JSON on one line; integers may have any length."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def _json(value: Any) -> str:
    return printable(to_json(value, sort_keys=True))

"""Copies of small property files in the derived index, for as long as the files are unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from filestore.disk.documents import Document

# Of longer ones, in bytes, no copy is kept: to read such a file costs little more than a copy does.
_LONGEST = 4096


class Copy(NamedTuple):
    """What the index has of a property file: its name and fingerprint, and what has these.

    Attributes:
        content: What the file said, as :func:`content_of` has it; None if that is not kept.
    """

    name: str
    inode: int
    size: int
    mtime: int
    ctime: int
    content: bytes | None


def content_of(document: Document) -> bytes | None:
    """What is kept of a document, for orjson; None if it is too long or orjson is not exact."""
    try:
        content = orjson.dumps(document)
    except orjson.JSONEncodeError:  # an integer of more bits than orjson writes
        return None
    return content if len(content) <= _LONGEST else None

"""What is stored: notes, books that own pages, and sensors with a time series."""

# ruff: noqa: UP045 (constelite's models do not know the other notation)

from __future__ import annotations

from typing import Optional

from constelite.models import Composition, Dynamic, StateModel

PAGES = 10


class Note(StateModel):
    """A plain record: four properties, nothing else."""

    title: Optional[str]
    tag: Optional[str]
    size: Optional[int]
    score: Optional[float]


class Sheet(StateModel):
    """A page of a volume."""

    number: int


class Volume(StateModel):
    """A book with pages, which are records that it owns."""

    title: str
    sheets: Optional[Composition[Sheet]]


class Sensor(StateModel):
    """A record with a time series."""

    name: Optional[str]
    readings: Optional[Dynamic[float]]


Volume.update_forward_refs(Sheet=Sheet)


def note(number: int, tags: int = 10) -> dict[str, object]:
    """The properties of a note; every `tags`-th note has the same tag."""
    return {
        "title": f"note {number}",
        "tag": f"tag-{number % tags}",
        "size": number,
        "score": number / 7,
    }

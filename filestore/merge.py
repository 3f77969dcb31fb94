"""Three-way merge of one file of a record: property by property, link by link, point by point.

What one side changed is taken. What both changed in the same way is taken once. What both changed
differently stays a conflict, with git's markers around both versions inside the canonical file::

    {
    <<<<<<< ours: age of Cat/tom
      "age": 4,
    ||||||| base
      "age": 3,
    =======
      "age": 5,
    >>>>>>> theirs
      "name": "Tom"
    }

The result does not depend on which side is ours, conflicts apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from filestore import parts
from filestore.disk import layout
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from filestore.parts import Moment

Name = TypeVar("Name", bound="Hashable")
Part = TypeVar("Part")

# What the base says of a part if it cannot be read: no version of a part is empty.
_UNKNOWN = b""


class Sides(NamedTuple):
    """The three versions of one part; None where a version does not have it."""

    base: bytes | None
    ours: bytes | None
    theirs: bytes | None

    @property
    def clash(self) -> bool:
        """Whether both sides changed it, each in its own way."""
        return self.ours != self.theirs and self.base not in (self.ours, self.theirs)

    @property
    def merged(self) -> bytes | None:
        """What it is after the merge, unless they clash."""
        return self.theirs if self.ours == self.base else self.ours


class Merged(NamedTuple):
    """The result of a merge.

    Attributes:
        data: The merged file.
        conflicts: What both sides changed differently: ``age of Cat/tom``.
    """

    data: bytes
    conflicts: list[str]


def merge(name: str, base: bytes, ours: bytes, theirs: bytes) -> Merged | None:
    """Merge two versions of one file of a record.

    Args:
        name: The file, relative to the data directory.
        base: The version that both come from; empty if each side made the file. If it cannot be
            read, all that differs is a conflict: nobody knows who changed it.
        ours: One version.
        theirs: The other one.

    Returns:
        The merged file; None if this is no file of a record.

    Raises:
        CorruptFileError: One of the two versions cannot be read.
    """
    file = name.rpartition("/")[2]
    if layout.key_of(name) is None:
        return None
    if layout.series_of(file) is not None:
        return _merge_series(name, *_read(parts.points, name, base, ours, theirs))
    if layout.links_uid_of(file) is not None:
        return _merge_links(name, *_read(parts.links, name, base, ours, theirs))
    sides = _sides(*_read(parts.properties, name, base, ours, theirs))
    return _join_members(name, sides)


def _read(
    read: Callable[[bytes, Path], dict[Name, Part]],
    name: str,
    base: bytes,
    ours: bytes,
    theirs: bytes,
) -> tuple[dict[Name, Part] | None, dict[Name, Part], dict[Name, Part]]:
    """The parts of the three versions; None for a base that cannot be read."""
    before: dict[Name, Part] | None = {}
    if base:
        try:
            before = read(base, Path(name))
        except CorruptFileError:
            before = None
    return before, read(ours, Path(name)), read(theirs, Path(name))


def _sides(
    base: dict[Name, bytes] | None, ours: dict[Name, bytes], theirs: dict[Name, bytes]
) -> dict[Name, Sides]:
    """The versions of each part."""
    return {
        name: Sides(_UNKNOWN if base is None else base.get(name), ours.get(name), theirs.get(name))
        for name in {**(base or {}), **ours, **theirs}
    }


# -- properties and relationships ------------------------------------------------------------------


def _join_members(file: str, sides: dict[str, Sides]) -> Merged:
    """The object that has these members.

    Either version of what clashes can be kept by deleting the other lines, so each ends with a
    comma unless nothing follows.
    """
    clashes = sorted(name for name, side in sides.items() if side.clash)
    if not clashes:
        merged = {name: side.merged for name, side in sides.items()}
        present = {name: lines for name, lines in merged.items() if lines is not None}
        return Merged(parts.join_members(present), [])
    names = sorted(name for name, side in sides.items() if side.clash or side.merged is not None)
    lines = [b"{\n"]
    for number, name in enumerate(names, 1):
        side, comma = sides[name], b",\n" if number < len(names) else b"\n"
        if side.clash:
            lines.append(
                _markers(_of(file, name), Sides(*(lines and lines + comma for lines in side)))
            )
        else:
            lines.append((side.merged or b"") + comma)
    return Merged(b"".join([*lines, b"}\n"]), [_of(file, name) for name in clashes])


def _merge_links(
    file: str,
    base: dict[str, list[str]] | None,
    ours: dict[str, list[str]],
    theirs: dict[str, list[str]],
) -> Merged:
    """Merge relationships, each as an ordered set."""
    sides = {}
    for name in {**(base or {}), **ours, **theirs}:
        versions = (base or {}).get(name), ours.get(name), theirs.get(name)
        lines = Sides(*(v if v is None else parts.links_member(name, v) for v in versions))
        if base is None:
            lines = lines._replace(base=_UNKNOWN)
        elif lines.clash:
            lines = _merge_targets(name, *versions) or lines
        sides[name] = lines
    return _join_members(file, sides)


def _merge_targets(
    name: str, base: list[str] | None, ours: list[str] | None, theirs: list[str] | None
) -> Sides | None:
    """Merge one relationship that both sides changed; None if it clashes all the same."""
    before, mine, other = set(base or ()), set(ours or ()), set(theirs or ())
    kept = {
        target for target in mine | other if _has(target in before, target in mine, target in other)
    }
    if not kept and not _has(base is not None, ours is not None, theirs is not None):
        return Sides(None, None, None)
    order = _order(base or [], ours or [], theirs or [], kept)
    if order is None:
        return None
    line = parts.links_member(name, order)
    return Sides(None, line, line)


# -- series ----------------------------------------------------------------------------------------


def _merge_series(
    file: str,
    base: dict[Moment, bytes] | None,
    ours: dict[Moment, bytes],
    theirs: dict[Moment, bytes],
) -> Merged:
    """Merge the points of a series, each with those of its own time."""
    series = parts.title(file)
    sides = _sides(base, ours, theirs)
    kept = {moment for moment, side in sides.items() if side.clash or side.merged is not None}
    versions = list(base or ()), list(ours), list(theirs)
    order: list[Moment] | None
    if all(map(_in_time_order, versions)):
        order = sorted(kept, key=_time)
    else:
        order = _order(*versions, kept)
    if order is None:
        whole = Sides(*(b"".join((version or {}).values()) for version in (base, ours, theirs)))
        return Merged(_markers(series, whole), [series])
    lines, conflicts = [], []
    for moment in order:
        side = sides[moment]
        if side.clash:
            conflicts.append(f"{series} at {moment}")
            lines.append(_markers(conflicts[-1], side))
        else:
            lines.append(side.merged or b"")
    return Merged(parts.join_points(lines), conflicts)


def _in_time_order(moments: list[Moment]) -> bool:
    numbers = all(isinstance(moment.timestamp, float) for moment in moments)
    return numbers and moments == sorted(moments, key=_time)


def _time(moment: Moment) -> tuple[float, int]:
    return float(moment.timestamp), moment.occurrence


# -- order -----------------------------------------------------------------------------------------


def _order(
    base: Sequence[Name], ours: Sequence[Name], theirs: Sequence[Name], kept: set[Name]
) -> list[Name] | None:
    """Put what is kept in order: as the side has it that moved something, and new ones in between.

    A new one follows whatever it follows on its own side. Where both sides add in the same place,
    the runs are in the order of their texts, so that it does not matter who merges with whom.

    Returns:
        What is kept, in order; None if both sides moved things, each in its own way.
    """
    common = kept & set(ours) & set(theirs)
    known = common & set(base)
    mine, other = [n for n in ours if n in common], [n for n in theirs if n in common]
    before = [n for n in base if n in known]
    spine = mine
    if mine != other:
        mine_known, other_known = [n for n in mine if n in known], [n for n in other if n in known]
        if mine_known == other_known:
            spine = min(mine, other, key=str)
        elif mine_known == before:
            spine = other
        elif other_known != before:
            return None
    runs: dict[Name | None, list[list[Name]]] = {}
    for side in (ours, theirs):
        place: Name | None = None
        run: list[Name] = []
        for name in side:
            if name in common:
                place, run = name, []
            elif name in kept:
                if not run:
                    runs.setdefault(place, []).append(run)
                run.append(name)
    result: list[Name] = []
    for place in (None, *spine):
        if place is not None:
            result.append(place)
        for run in sorted(runs.get(place, ()), key=str):
            result += run
    return result


def _has(base: bool, ours: bool, theirs: bool) -> bool:
    """Whether something is there after the merge, given where it was."""
    return (ours and theirs) if base else (ours or theirs)


# -- what people see -------------------------------------------------------------------------------


def _of(file: str, name: str) -> str:
    return f"{name} of {parts.title(file)}"


def _markers(what: str, side: Sides) -> bytes:
    """Both versions of what clashes and what they come from, as git marks a conflict."""
    label = "".join(c if c.isprintable() else "?" for c in what).encode()
    return b"".join(
        [
            b"<<<<<<< ours: %b\n" % label,
            side.ours or b"",
            b"||||||| base\n",
            side.base or b"",
            b"=======\n",
            side.theirs or b"",
            b">>>>>>> theirs: %b\n" % label,
        ]
    )

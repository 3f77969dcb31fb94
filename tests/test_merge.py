"""The three-way merge of one file: by property, by link, by point, with conflicts that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filestore import CorruptFileError, MergeConflictError
from filestore.disk import documents
from filestore.disk.layout import Key
from filestore.merge import Merged, merge

RECORD, LINKS, SERIES = "Cat/tom.json", "Cat/tom.rels.json", "Cat/tom.weight.jsonl"
PATH = Path("data/Cat/tom.json")


def record(**properties: Any) -> bytes:
    return documents.encode_document(properties)


def links(**relationships: str) -> bytes:
    """A relationship index; `carer="a b"` links to Human/a and Human/b."""
    return documents.encode_links(
        {name: [Key("Human", uid) for uid in uids.split()] for name, uids in relationships.items()}
    )


def series(*points: tuple[Any, Any]) -> bytes:
    return documents.encode_points({"timestamp": time, "value": value} for time, value in points)


def clean(name: str, base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """The result of a merge that has no conflicts, and is the same from the other side."""
    merged = merge(name, base, ours, theirs)
    assert merged is not None
    assert merged.conflicts == []
    assert merged == merge(name, base, theirs, ours)
    return merged.data


def conflicted(name: str, base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """The result of a merge that has conflicts: it cannot be taken for a good file."""
    merged = merge(name, base, ours, theirs)
    assert merged is not None
    assert merged.conflicts
    read = {
        RECORD: documents.decode_document,
        LINKS: documents.decode_links,
        SERIES: documents.decode_points,
    }
    with pytest.raises(MergeConflictError):
        read[name](merged.data, PATH)
    return merged


def sides(merged: bytes) -> tuple[bytes, bytes, bytes]:
    """The three files between which a person chooses: base, ours, theirs."""
    chosen: dict[str, list[bytes]] = {"base": [], "ours": [], "theirs": []}
    into = list(chosen)
    for line in merged.splitlines(keepends=True):
        if line.startswith(b"<<<<<<< ours"):
            into = ["ours"]
        elif line == b"||||||| base\n":
            into = ["base"]
        elif line == b"=======\n":
            into = ["theirs"]
        elif line.startswith(b">>>>>>> theirs"):
            into = list(chosen)
        else:
            for name in into:
                chosen[name].append(line)
    return b"".join(chosen["base"]), b"".join(chosen["ours"]), b"".join(chosen["theirs"])


# -- properties ------------------------------------------------------------------------------------

BASE = record(age=3, name="Tom")


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (record(age=4, name="Tom"), record(age=3, name="Tim"), record(age=4, name="Tim")),
        (record(age=4, name="Tom"), record(age=4, name="Tom"), record(age=4, name="Tom")),
        (record(age=4, name="Tom"), record(age=3), record(age=4)),
        (record(age=3), record(age=3), record(age=3)),
        (record(a=1, age=3, name="Tom"), record(age=3, name="Tom", z=1), None),
        (record(age=3), record(name="Tom"), record()),
        (record(age=3, b=[1], name="Tom"), record(age=3, b=[1], name="Tom"), None),
    ],
    ids=["apart", "same", "removed", "both removed", "added", "all gone", "added the same"],
)
def test_properties_merge_one_by_one(ours: bytes, theirs: bytes, expected: bytes | None) -> None:
    if expected is None:
        both = documents.decode_document(ours, PATH) | documents.decode_document(theirs, PATH)
        expected = documents.encode_document(both)
    assert clean(RECORD, BASE, ours, theirs) == expected


def test_a_property_that_both_change_is_a_conflict_in_terms_of_the_record() -> None:
    ours, theirs = record(age=4, name="Tim"), record(age=5, name="Tom")
    merged = conflicted(RECORD, BASE, ours, theirs)

    assert merged.conflicts == ["age of Cat/tom"]
    assert merged.data.decode() == (
        "{\n"
        "<<<<<<< ours: age of Cat/tom\n"
        '  "age": 4,\n'
        "||||||| base\n"
        '  "age": 3,\n'
        "=======\n"
        '  "age": 5,\n'
        ">>>>>>> theirs: age of Cat/tom\n"
        '  "name": "Tim"\n'
        "}\n"
    )


def test_to_resolve_a_conflict_is_to_delete_lines() -> None:
    ours = record(age=4, name="Tim", zone=1)
    theirs = record(age=5, name="Tam", zone=2)
    merged = conflicted(RECORD, record(age=3, name="Tom", zone=0), ours, theirs)

    assert sides(merged.data) == (record(age=3, name="Tom", zone=0), ours, theirs)


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        (record(age=3, name="Tom"), record(name="Tom"), record(age=4, name="Tom")),
        (record(name="Tom"), record(age=1, name="Tom"), record(age=2, name="Tom")),
        (record(age=1, name="Tom"), record(age=1.0, name="Tom"), record(age=True, name="Tom")),
        (b"", record(age=1), record(age=2)),
        (record(tags={"a": 1, "b": 1}), record(tags={"a": 2, "b": 1}), record(tags={"a": 1})),
    ],
    ids=["removed and changed", "both added", "types", "no base", "nested"],
)
def test_what_both_change_differently_is_a_conflict(
    base: bytes, ours: bytes, theirs: bytes
) -> None:
    assert len(conflicted(RECORD, base, ours, theirs).conflicts) == 1
    assert len(conflicted(RECORD, base, theirs, ours).conflicts) == 1


def test_records_that_both_sides_made_merge_by_property() -> None:
    made = clean(RECORD, b"", record(age=1, name="Tom"), record(name="Tom", toy="ball"))
    assert made == record(age=1, name="Tom", toy="ball")


def test_what_a_person_wrote_becomes_canonical() -> None:
    ours = b'{"name":"Tom", "age":4}'
    assert clean(RECORD, BASE, ours, record(age=3, name="Tim")) == record(age=4, name="Tim")


def test_without_a_base_to_go_by_all_that_differs_is_a_conflict() -> None:
    broken = b'{\n<<<<<<< ours\n  "age": 1\n=======\n  "age": 2\n>>>>>>> theirs\n}\n'
    ours, theirs = record(age=4, name="Tom", toy="ball"), record(age=3, name="Tom")
    merged = conflicted(RECORD, broken, ours, theirs)

    assert merged.conflicts == ["age of Cat/tom", "toy of Cat/tom"]
    assert clean(RECORD, broken, ours, ours) == ours
    assert conflicted(LINKS, b"[]", links(carer="a"), links()).conflicts == ["carer of Cat/tom"]
    assert conflicted(SERIES, b"x", series((0.0, 1)), series()).conflicts == [
        "weight of Cat/tom at 0.0"
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_a_side_that_cannot_be_read_is_an_error(side: int) -> None:
    versions = [BASE, BASE]
    versions[side] = b"{"
    with pytest.raises(CorruptFileError):
        merge(RECORD, BASE, *versions)


@pytest.mark.parametrize("name", ["README.json", "filestore.json", "Cat/a b.json", "Cat/x.txt"])
def test_other_files_are_not_merged(name: str) -> None:
    assert merge(name, BASE, BASE, BASE) is None


def test_a_name_cannot_end_its_marker_line() -> None:
    name = "a\n>>>>>>> theirs\n"
    merged = conflicted(RECORD, record(), record(**{name: 1}), record(**{name: 2}))
    assert merged.data.splitlines()[1] == b"<<<<<<< ours: a?>>>>>>> theirs? of Cat/tom"


# -- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("a", "a b", "a c", "a b c"),
        ("a", "a c", "a b", "a b c"),
        ("", "b", "a", "a b"),
        ("a b c", "a c", "a b", "a"),
        ("a b", "b", "a b c", "b c"),
        ("a", "b", "c", "b c"),
        ("a b c", "c b a", "a b c d", "c d b a"),
        ("a b c", "x a b c", "a b y c", "x a b y c"),
        ("a", "a x y", "a y z", "a x y z"),
        ("a", "a x y", "a y x", "a x y"),
        ("a b", "", "a b", ""),
        ("a b", "a", "b", ""),
    ],
)
def test_links_merge_as_an_ordered_set(base: str, ours: str, theirs: str, expected: str) -> None:
    versions = (links(likes=targets) for targets in (base, ours, theirs))
    assert clean(LINKS, *versions) == links(likes=expected)


def test_relationships_merge_apart() -> None:
    merged = clean(LINKS, links(a="x"), links(a="x y", b="z"), links(c="z"))
    assert merged == links(a="y", b="z", c="z")


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (links(a="x"), links(), links(a=""), links()),
        (links(a="x"), links(a="x"), links(), links()),
        (links(), links(a=""), links(), links(a="")),
        (links(a="x"), links(a="", b="y"), links(b="z"), links(b="y z")),
        (b"", links(a="x"), links(a="y"), links(a="x y")),
    ],
)
def test_an_empty_relationship_is_not_an_absent_one(
    base: bytes, ours: bytes, theirs: bytes, expected: bytes
) -> None:
    assert clean(LINKS, base, ours, theirs) == expected


def test_two_new_orders_are_a_conflict() -> None:
    versions = links(a="x y z"), links(a="z x y"), links(a="y x z")
    merged = conflicted(LINKS, *versions)

    assert merged.conflicts == ["a of Cat/tom"]
    assert sides(merged.data) == versions


# -- series ----------------------------------------------------------------------------------------

POINTS = series((0.0, 1), (10.0, 2), (20.0, 3))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            series((0.0, 1), (10.0, 2), (20.0, 3), (30.0, 4)),
            series((0.0, 1), (10.0, 2), (20.0, 3), (25.0, 5)),
            series((0.0, 1), (10.0, 2), (20.0, 3), (25.0, 5), (30.0, 4)),
        ),
        (
            series((0.0, 9), (10.0, 2), (20.0, 3)),
            series((0.0, 1), (10.0, 2)),
            series((0.0, 9), (10.0, 2)),
        ),
        (series((0.0, 1)), series((10.0, 2)), series()),
        (POINTS, series(), series()),
        (
            series((0.0, 1), (10.0, 2), (20.0, 3), (20.0, 4)),
            series((0.0, 1), (10.0, 2), (20.0, 8)),
            series((0.0, 1), (10.0, 2), (20.0, 8), (20.0, 4)),
        ),
        (
            series((10.0, 2), (0.0, 1), (20.0, 3)),
            series((0.0, 1), (10.0, 2), (20.0, 3), (30.0, 4)),
            series((10.0, 2), (0.0, 1), (20.0, 3), (30.0, 4)),
        ),
        (
            series((0.0, 1), (10.0, 2), (20.0, 3), ("NaN", 1)),
            series((0.0, 1), (10.0, 2), (20.0, 3), ("NaN", 1)),
            series((0.0, 1), (10.0, 2), (20.0, 3), ("NaN", 1)),
        ),
    ],
    ids=["added", "changed and removed", "all gone", "emptied", "twice", "moved", "not finite"],
)
def test_points_merge_one_by_one(ours: bytes, theirs: bytes, expected: bytes) -> None:
    assert clean(SERIES, POINTS, ours, theirs) == expected


def test_series_that_both_sides_made() -> None:
    assert clean(SERIES, b"", series((1.0, 1)), series((0.0, 0))) == series((0.0, 0), (1.0, 1))


def test_a_point_that_both_change_is_a_conflict() -> None:
    ours, theirs = series((0.0, 1), (10.0, 7), (20.0, 3)), series((0.0, 1), (10.0, 8), (20.0, 3))
    merged = conflicted(SERIES, POINTS, ours, theirs)

    assert merged.conflicts == ["weight of Cat/tom at 10.0"]
    assert b"<<<<<<< ours: weight of Cat/tom at 10.0\n" in merged.data
    assert sides(merged.data) == (POINTS, ours, theirs)


def test_a_second_point_of_one_time_is_named_as_such() -> None:
    first = series((0.0, 1))
    ours, theirs = series((0.0, 1), (0.0, 2)), series((0.0, 1), (0.0, 3))
    merged = conflicted(SERIES, first, ours, theirs)
    assert merged.conflicts == ["weight of Cat/tom at 0.0 (number 2 of that time)"]


def test_two_new_orders_of_points_are_a_conflict() -> None:
    ours = series((20.0, 3), (0.0, 1), (10.0, 2))
    theirs = series((10.0, 2), (0.0, 1), (20.0, 3))
    merged = conflicted(SERIES, POINTS, ours, theirs)

    assert merged.conflicts == ["weight of Cat/tom"]
    assert sides(merged.data) == (POINTS, ours, theirs)


def test_timestamps_beyond_every_float() -> None:
    huge = b'{"timestamp":%b,"value":1}\n' % (b"9" * 400)
    with pytest.raises(CorruptFileError):
        merge(SERIES, b"", huge, huge)


# -- any versions ----------------------------------------------------------------------------------

values = st.sampled_from([0, 1, 1.0, True, "x", [1], {"a": 1}])
records = st.dictionaries(st.sampled_from(["a", "b", "B", "é", "\uffff", "😀"]), values).map(
    documents.encode_document
)
uids = st.lists(st.sampled_from("uvwxyz"), unique=True, max_size=5).map(" ".join)
indexes = st.dictionaries(st.sampled_from("ab"), uids).map(lambda found: links(**found))
times = st.sampled_from([0.0, 1.0, 2.0, 3.0, "NaN"])
timelines = st.dictionaries(times, st.integers(0, 2)).map(lambda p: series(*p.items()))
versions = st.one_of(
    st.tuples(st.just(RECORD), records, records, records),
    st.tuples(st.just(LINKS), indexes, indexes, indexes),
    st.tuples(st.just(SERIES), timelines, timelines, timelines),
)


@given(versions)
def test_one_change_is_taken_and_equal_changes_are_taken_once(
    case: tuple[str, bytes, bytes, bytes],
) -> None:
    name, base, ours, _ = case
    assert clean(name, base, ours, base) == ours
    assert clean(name, base, ours, ours) == ours


@given(versions)
def test_a_merge_keeps_every_edit_or_says_that_it_cannot(
    case: tuple[str, bytes, bytes, bytes],
) -> None:
    """Lines stand for parts: what one side added is there, what one side removed is gone."""
    name, base, ours, theirs = case
    merged, mirrored = merge(name, base, ours, theirs), merge(name, base, theirs, ours)
    assert merged is not None
    assert mirrored is not None
    assert merged.conflicts == mirrored.conflicts
    if merged.conflicts:
        assert b"<<<<<<<" in merged.data
        return
    assert merged == mirrored
    was, mine, others, found = (_lines(data) for data in (base, ours, theirs, merged.data))
    assert found == (mine & others) | (mine - was) | (others - was)


def _lines(data: bytes) -> set[bytes]:
    """The properties or links of a file, each with its name, or the points of a series."""
    if not data.startswith(b"{\n"):
        return {line for line in data.splitlines() if line not in (b"", b"{}")}
    found = set()
    for name, value in documents.decode_document(data, PATH).items():
        items = value if isinstance(value, list) and value != [1] else [value]
        found |= {documents.encode_document({name: item}) for item in items}
    return found

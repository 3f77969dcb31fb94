"""Whatever a directory held, a rewrite makes it hold something else, and then nothing differs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from filestore.comparison import Record, Records, compare
from filestore.disk.layout import Key
from filestore.fixtures import compare_directories, read, rewrite
from tests.directories import listing

KEYS = [Key(model, uid) for model in ("Cat", "Job[int]") for uid in "ab"]
NAMES = st.sampled_from(["name", "likes", "é"])
VALUES = st.sampled_from([None, 0, 0.0, False, "x", [1, [2]], {"a": 1 << 80}])
POINTS = st.lists(
    st.fixed_dictionaries(
        {"timestamp": st.sampled_from([0.0, 1.5, "NaN"]), "value": st.sampled_from([1, 1.0, "x"])}
    ),
    max_size=3,
)
RECORD = st.builds(
    Record,
    st.dictionaries(NAMES, VALUES, max_size=2),
    st.dictionaries(NAMES, st.lists(st.sampled_from(KEYS), max_size=3, unique=True), max_size=2),
    st.dictionaries(NAMES, POINTS, max_size=2),
)
RECORDS = st.dictionaries(st.sampled_from(KEYS), RECORD)


@settings(max_examples=60, deadline=None)
@given(RECORDS, RECORDS)
def test_a_rewrite_makes_a_directory_hold_what_it_should(old: Records, new: Records) -> None:
    with TemporaryDirectory() as directory:
        one, two = Path(directory, "one"), Path(directory, "two")
        rewrite(one, {}, old)
        assert compare(read(one), old) == []
        rewrite(one, read(one), new)
        rewrite(two, {}, new)
        assert compare(read(one), new) == []
        assert compare_directories(one, two) == []
        before = listing(one)
        assert rewrite(one, read(one), new) == {}
        assert listing(one) == before
        files = {path.relative_to(one): path.read_bytes() for path in one.rglob("*.json*")}
        assert files == {path.relative_to(two): path.read_bytes() for path in two.rglob("*.json*")}


def test_a_rewrite_leaves_a_series_of_the_deepest_values_as_it_is(tmp_path: Path) -> None:
    deepest: list[Any] = []
    for _ in range(252):
        deepest = [deepest]
    series = {"w": [{"timestamp": 0.0, "value": deepest}]}
    rewrite(tmp_path, {}, {KEYS[0]: Record({}, {}, series)})
    done = rewrite(tmp_path, read(tmp_path), {KEYS[0]: Record({"age": 3}, {}, series)})
    assert done == {tmp_path / "Cat" / "a.json": "wrote"}


@settings(max_examples=60, deadline=None)
@given(RECORDS, RECORDS)
def test_differences_go_both_ways(old: Records, new: Records) -> None:
    there, back = compare(old, new), compare(new, old)

    def mirrored(changes: list) -> list[str]:
        return sorted(repr((c.kind, c.key, c.field, c.new, c.old, c.item)) for c in changes)

    facts = sorted(repr((c.kind, c.key, c.field, c.old, c.new, c.item)) for c in there)
    assert facts == mirrored(back)
    assert compare(old, old) == []

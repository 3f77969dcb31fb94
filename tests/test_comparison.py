"""What the comparison of two directories finds, and what it takes for the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from filestore import CorruptFileError, FileStore, StoreFormatError
from filestore.comparison import ABSENT, Change, Record, compare
from filestore.disk.layout import Key
from filestore.fixtures import compare_directories, read
from filestore.parts import Moment
from tests.directories import by_hand, listing, write
from tests.models import Cat, Human
from tests.stock import over, weights

if TYPE_CHECKING:
    from pathlib import Path

TOM, LISA = Key("Cat", "tom"), Key("Human", "lisa")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    by_hand(tmp_path / "old")
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    by_hand(tmp_path / "new")
    return tmp_path / "new"


def record(
    properties: dict[str, Any] | None = None,
    links: dict[str, list[Key]] | None = None,
    **series: list[tuple[Any, Any]],
) -> Record:
    points = {
        name: [{"timestamp": timestamp, "value": value} for timestamp, value in pairs]
        for name, pairs in series.items()
    }
    return Record(properties or {}, links or {}, points)


def between(old: Record, new: Record, *ignore: str) -> list[Change]:
    return compare({TOM: old}, {TOM: new}, ignore)


# -- directories -----------------------------------------------------------------------------------


def test_reads_all_that_files_say(old: Path) -> None:
    assert read(old) == {
        TOM: record({"name": "Tom", "age": 3}, {"carer": [LISA]}, weight=[(0.0, 4.0)]),
        LISA: record({"name": "Lisa"}),
    }


def test_equal_directories_have_no_differences(old: Path, new: Path) -> None:
    assert compare_directories(old, new) == []


def test_reading_writes_nothing(old: Path, new: Path) -> None:
    before = listing(old), listing(new)
    compare_directories(old, new)
    assert (listing(old), listing(new)) == before


async def test_hand_written_files_say_what_the_store_writes(old: Path, new: Path) -> None:
    store = FileStore(new)
    cat = await store.create(Cat(name="Felix", weight=weights((1, 2))), uid="felix")
    await store.delete(cat)
    await store.put(over(store, await store.put(ref_to(store, "tom")), Cat(age=4)))
    await store.put(over(store, ref_to(store, "tom"), Cat(age=3)))
    assert '"model_name": "Cat"' in (new / "Cat" / "tom.json").read_text()
    write(old / "README.json", {"a": 1})
    assert compare_directories(old, new) == []


def ref_to(store: FileStore, uid: str) -> Any:
    from constelite.models import ref

    return ref(Cat(age=3), uid=uid, store=store)


def test_a_directory_that_is_not_there_is_an_error(old: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreFormatError, match="nowhere is no directory"):
        compare_directories(old, tmp_path / "nowhere")


def test_a_file_that_cannot_be_read_comes_first_and_hides_no_other(old: Path, new: Path) -> None:
    (new / "Human" / "lisa.json").write_text("{")
    (new / "Cat" / "tom.weight.jsonl").write_text("4\n")
    write(new / "Cat" / "felix.json", {})
    changes = compare_directories(old, new)
    assert [(change.kind, change.key.link) for change in changes] == [
        ("file", "Cat/tom"),
        ("file", "Human/lisa"),
        ("record", "Cat/felix"),
    ]
    assert isinstance(changes[0].new, CorruptFileError)
    assert changes[0].action == "changed"
    assert str(changes[1].new).endswith("correct it")


async def test_sees_what_an_unfinished_commit_will_write(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "new")
    await store.create(Human(name="Lisa"), uid="lisa")
    old = read(store.root)
    files = store._database.files
    replace = files.replace

    def fail(name: str, *_: Any, **__: Any) -> None:
        if "/" in name:
            raise OSError("the disk is gone")

    files.replace = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="stands"):
        await store.create(Cat(name="Tom", weight=weights((0, 4))), uid="tom")
    files.replace = replace  # type: ignore[method-assign]
    assert not (store.root / "Cat").exists()
    assert compare(old, read(store.root)) == [
        Change("record", TOM, new=record({"name": "Tom", "model_name": "Cat"}, weight=[(0.0, 4.0)]))
    ]


# -- records, properties, links, points ------------------------------------------------------------


def test_records_that_one_side_lacks() -> None:
    missing, unexpected = compare({TOM: record()}, {LISA: record()})
    assert missing == Change("record", TOM, old=record())
    assert unexpected == Change("record", LISA, new=record())
    assert (missing.action, unexpected.action) == ("removed", "added")


def test_properties() -> None:
    old = record({"age": 3, "name": "Tom", "gone": None, "kept": [1]})
    new = record({"age": 4, "name": "Tom", "came": None, "kept": [1]})
    assert between(old, new) == [
        Change("property", TOM, "age", 3, 4),
        Change("property", TOM, "came", ABSENT, None),
        Change("property", TOM, "gone", None, ABSENT),
    ]


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ([1], [1.0]), ("1", 1), (0, -0.0)])
def test_json_values_of_different_types_differ(one: Any, other: Any) -> None:
    assert len(between(record({"x": one}), record({"x": other}))) == 1


def test_huge_integers_and_key_order() -> None:
    assert between(record({"x": 1 << 90}), record({"x": 1 << 90})) == []
    assert len(between(record({"x": 1 << 90}), record({"x": 1 + (1 << 90)}))) == 1
    assert between(record({"x": {"a": 1, "b": 2}}), record({"x": {"b": 2, "a": 1}})) == []


def test_class_name_counts_only_if_it_is_another() -> None:
    assert between(record({"model_name": "Cat"}), record()) == []
    assert between(record({"model_name": "Dog"}), record()) == [
        Change("property", TOM, "model_name", "Dog", ABSENT)
    ]


def test_links() -> None:
    a, b, c = (Key("Human", uid) for uid in "abc")
    assert between(record(links={"likes": [a, b]}), record(links={"likes": [c, a]})) == [
        Change("link", TOM, "likes", old=b.link, item=b.link),
        Change("link", TOM, "likes", new=c.link, item=c.link),
    ]
    assert between(record(links={"likes": [a, b, c]}), record(links={"likes": [b, a]})) == [
        Change("link", TOM, "likes", old=c.link, item=c.link),
        Change("relationship", TOM, "likes", [a.link, b.link], [b.link, a.link]),
    ]
    assert between(record(), record(links={"likes": [a]})) == [
        Change("link", TOM, "likes", new=a.link, item=a.link)
    ]


def test_an_empty_relationship_is_not_one_that_was_never_given() -> None:
    [change] = between(record(), record(links={"likes": []}))
    assert change == Change("relationship", TOM, "likes", new=[])
    assert change.action == "added"


def test_points() -> None:
    old = record(weight=[(0, 1.0), (1, 2.0), (1, 2.5), (3, 3.0)])
    new = record(weight=[(0.0, 1.5), (1, 2.0), (1, 2.0), (4, 3.0)])
    assert between(old, new) == [
        Change("point", TOM, "weight", 1.0, 1.5, Moment(0.0, 0)),
        Change("point", TOM, "weight", 2.5, 2.0, Moment(1.0, 1)),
        Change("point", TOM, "weight", 3.0, ABSENT, Moment(3.0, 0)),
        Change("point", TOM, "weight", ABSENT, 3.0, Moment(4.0, 0)),
    ]


def test_equal_points_are_counted() -> None:
    assert between(record(w=[(0, 1), (0, 1)]), record(w=[(0, 1)])) == [
        Change("point", TOM, "w", 1, ABSENT, Moment(0.0, 1))
    ]


def test_order_of_points_and_points_without_a_time() -> None:
    old, new = record(w=[(0, 1), ("NaN", 2)]), record(w=[("NaN", 2), (0, 1)])
    order = Change("series", TOM, "w", old.series["w"], new.series["w"])
    assert between(old, new) == [order]
    nan = Moment("NaN", 0)
    assert between(old, record(w=[(0.0, 1), ("NaN", 3)])) == [Change("point", TOM, "w", 2, 3, nan)]
    one_more = record(w=[("NaN", 2), (1, 5), (0, 1)])
    assert between(old, one_more) == [
        Change("point", TOM, "w", new=5, item=Moment(1.0, 0)),
        order,
    ]


def test_an_empty_series_is_not_one_that_was_never_given() -> None:
    assert between(record(w=[]), record()) == [Change("series", TOM, "w", old=[])]


def test_most_important_first() -> None:
    old = {TOM: record({"age": 3}, {"carer": [LISA]}, w=[(0, 1)]), Key("Cat", "zoe"): record()}
    new = {TOM: record({"age": 4}, {}, w=[(0, 2)]), Key("Ant", "a"): record()}
    assert [change.kind for change in compare(old, new)] == [
        "record", "record", "property", "link", "point"
    ]  # fmt: skip
    assert [change.key.link for change in compare(old, new)][:2] == ["Cat/zoe", "Ant/a"]


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask", ["Cat.born", "*.born", "Cat/tom.born", "Cat", "Cat/tom", "Cat/*", "*", "C*.b*"]
)
def test_masks_hide(mask: str) -> None:
    assert between(record({"born": 1}), record({"born": 2}), mask) == []


@pytest.mark.parametrize("mask", ["Dog.born", "Cat.age", "Cat/felix", "Cat/felix.born", "Ca", "x."])
def test_other_masks_hide_nothing(mask: str) -> None:
    assert len(between(record({"born": 1}), record({"born": 2}), mask)) == 1


def test_masks_hide_links_series_and_whole_records() -> None:
    assert between(record(links={"likes": [LISA]}), record(), "Cat.likes") == []
    assert between(record(w=[(0, 1)]), record(), "Cat.w") == []
    assert compare({TOM: record()}, {}, ["Cat"]) == []
    assert compare({TOM: record()}, {}, ["Cat.age"]) != []
    key = Key("Job[int]", "x")
    assert compare({key: record({"a": 1})}, {key: record()}, ["Job[int].a"]) == []


def test_one_mask_may_be_a_text() -> None:
    assert compare({TOM: record({"born": 1})}, {TOM: record()}, "Cat.born") == []

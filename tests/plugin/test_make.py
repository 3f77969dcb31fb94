"""Fixture directories made by code."""

from __future__ import annotations

from pathlib import Path

import pytest
from constelite.models import StateModel, ref

import filestore.testing
from filestore import FileStore, InvalidUidError, RecordExistsError, UnsupportedValueError
from filestore.testing import make_fixture
from tests.directories import listing, to
from tests.models import Book, Cat, Food, Human, Kitten, Page
from tests.plugin.conftest import content
from tests.stock import everything, state_of, uids, weights


def shelter() -> dict[str, StateModel]:
    """States that link to each other in a ring, and to states without a name."""
    ann, ben = Human(name="Ann"), Human(name="Ben")
    ann.friends, ben.friends = [ref(ben)], [ref(ann)]
    kitten = Kitten(name="Mittens", toy="ball")
    cat = Cat(
        name="Snowball",
        age=3,
        weight=weights((0, 3.9), (60, 4.1)),
        carer=[ref(ann)],
        kittens=[ref(kitten)],
        likes=[ref(Food(name="fish"))],
    )
    return {"snowball": cat, "mittens": kitten, "ann": ann, "ben": ben}


async def test_states_become_records_under_their_names(tmp_path: Path) -> None:
    make_fixture(tmp_path / "cats", shelter())  # in an event loop, as in a notebook
    store = FileStore(tmp_path / "cats", read_only=True)
    assert store.name == "cats"
    assert len(await everything(store)) == 5
    snowball = await state_of(store, to(store, Cat, "snowball"))
    assert (snowball.age, uids(snowball.carer), uids(snowball.kittens)) == (3, ["ann"], ["mittens"])
    assert [point.value for point in snowball.weight.points] == [3.9, 4.1]
    assert (await state_of(store, snowball.likes[0])).name == "fish"
    ann = await state_of(store, to(store, Human, "ann"))
    assert (uids(ann.friends), uids(ann.cats)) == (["ben"], ["snowball"])


def test_the_same_call_makes_the_same_bytes(tmp_path: Path) -> None:
    written = make_fixture(tmp_path / "one" / "cats", shelter())
    make_fixture(tmp_path / "two" / "cats", shelter())
    one = content(tmp_path / "one" / "cats")
    assert one == content(tmp_path / "two" / "cats")
    assert sorted(path.relative_to(tmp_path / "one" / "cats").as_posix() for path in written) == (
        sorted(one)
    )
    assert not (tmp_path / "one" / "cats" / ".filestore").exists()


def test_made_again_only_what_differs_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_fixture("cats", shelter())
    (tmp_path / "cats" / "README").write_text("mine")
    before = listing(tmp_path)
    assert make_fixture("cats", shelter()) == []
    assert listing(tmp_path) == before
    states = shelter()
    states["snowball"].age = 4
    assert make_fixture(Path("cats"), states) == [tmp_path / "cats" / "Cat" / "snowball.json"]


def test_records_that_are_not_among_the_states_stay(tmp_path: Path) -> None:
    make_fixture(tmp_path / "cats", shelter())
    before = listing(tmp_path)
    with pytest.raises(RecordExistsError, match=r"cats holds Food/[-\w]+, which is not") as caught:
        make_fixture(tmp_path / "cats", {"snowball": Cat(), "x": Food()})
    assert caught.value.model == "Food"
    assert listing(tmp_path) == before


def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidUidError):
        make_fixture(tmp_path / "cats", {"../tom": Cat()})
    with pytest.raises(UnsupportedValueError):
        make_fixture(
            tmp_path / "cats", {"tom": Book(title="x", pages=[ref(Page(number=1)), Page(number=2)])}
        )
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_its_own(tmp_path: Path) -> None:
    make_fixture(tmp_path / "cats", {}, name="shelter")
    assert FileStore(tmp_path / "cats").name == "shelter"


def test_public_names() -> None:
    for name in filestore.testing.__all__:
        assert getattr(filestore.testing, name) is not None
        assert name in dir(filestore.testing)
    with pytest.raises(AttributeError, match=r"'filestore\.testing' has no attribute 'nothing'"):
        _ = filestore.testing.nothing

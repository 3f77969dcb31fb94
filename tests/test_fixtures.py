"""``fixtures/cats``, the small hand-written store that tests and documentation use."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
from constelite.models import Ref, ref

from filestore import FileStore, ReadOnlyError
from tests.models import Cat, Creature, Food, Human, Kitten

CATS = Path(__file__).parent.parent / "fixtures" / "cats"

MODELS = (Cat, Food, Human, Kitten)


@pytest.fixture
def cats() -> FileStore:
    """The fixture store itself, read-only."""
    return FileStore(CATS, read_only=True)


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a directory, hidden ones too, with its bytes and mtime."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


async def read_everything(store: FileStore) -> dict[str, Ref]:
    """Every record of the store, read in every way, by ``Model/uid``."""
    found = {}
    for model in MODELS:
        for hit in await store.query(model.__name__, include_states=True):
            one = await store.get(hit)
            assert one == hit
            found[f"{one.state_model_name}/{one.uid}"] = one
    return found


def uids(refs: list[Ref]) -> list[str]:
    return [item.uid for item in refs]


def test_files_are_canonical() -> None:
    documents, series = sorted(CATS.rglob("*.json")), sorted(CATS.rglob("*.jsonl"))
    assert documents
    assert series
    for path in documents:
        canonical = orjson.dumps(
            orjson.loads(path.read_bytes()),
            option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
        )
        assert path.read_bytes() == canonical, path
    for path in series:
        points = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        canonical = b"".join(
            orjson.dumps(point, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
            for point in points
        )
        assert path.read_bytes() == canonical, path


def test_every_link_leads_to_a_record() -> None:
    indexes = sorted(CATS.glob("*/*.rels.json"))
    assert indexes
    for path in indexes:
        for targets in orjson.loads(path.read_bytes()).values():
            for target in targets:
                assert (CATS / f"{target}.json").is_file(), f"{path}: {target}"


async def test_states(cats: FileStore) -> None:
    found = await read_everything(cats)

    assert sorted(found) == [
        "Cat/felix",
        "Cat/snowball",
        "Food/fish",
        "Food/milk",
        "Human/ann",
        "Human/ben",
        "Kitten/mittens",
        "Kitten/whiskers",
    ]
    snowball = found["Cat/snowball"].state
    assert type(snowball) is Cat
    assert (snowball.name, snowball.age) == ("Snowball", 3)
    assert [(point.timestamp, point.value) for point in snowball.weight.points] == [
        (1704067200.0, 3.9),
        (1706745600.0, 4.1),
        (1709251200.0, 4.2),
    ]
    assert uids(snowball.likes) == ["fish", "milk"]
    assert uids(snowball.kittens) == ["whiskers", "mittens"]
    assert [kitten.state_model_name for kitten in snowball.kittens] == ["Kitten", "Kitten"]
    assert found["Cat/felix"].name == "Félix"
    assert found["Cat/felix"].likes == []
    assert found["Cat/felix"].kittens is None
    assert found["Kitten/mittens"].toy == "a ball of wool"
    assert uids(found["Human/ann"].friends) == ["ben"]


async def test_backrefs(cats: FileStore) -> None:
    ann = await cats.get(ref(Human, uid="ann", store=cats))
    ben = await cats.get(ref(Human, uid="ben", store=cats))
    mittens = await cats.get(ref(Kitten, uid="mittens", store=cats))

    assert uids(ann.cats) == ["felix", "snowball"]
    assert uids(ben.cats) == ["mittens"]
    assert ben.cats[0].state_model_name == "Kitten"
    assert uids(mittens.mother) == ["snowball"]


async def test_query_finds_subclasses(cats: FileStore) -> None:
    creatures = await cats.query(Creature.__name__, include_states=False)

    assert uids(creatures) == ["felix", "snowball", "mittens", "whiskers"]


async def test_reading_changes_nothing() -> None:
    before = files(CATS)
    directories = {path: path.stat().st_mtime_ns for path in (CATS, *CATS.rglob("*/"))}

    store = FileStore(CATS, read_only=True)
    await read_everything(store)
    with pytest.raises(ReadOnlyError):
        await store.create(Human(name="Cleo"), uid="cleo")

    assert files(CATS) == before
    assert {path: path.stat().st_mtime_ns for path in (CATS, *CATS.rglob("*/"))} == directories


async def test_opens_read_only_without_a_manifest(tmp_path: Path, cats: FileStore) -> None:
    copied = shutil.copytree(CATS, tmp_path / "cats")
    (copied / "filestore.json").unlink()
    (copied / ".gitattributes").unlink()
    before = files(copied)

    found = await read_everything(FileStore(copied, read_only=True))

    expected = await read_everything(cats)
    assert {name: item.state.dict(exclude=REFS) for name, item in found.items()} == {
        name: item.state.dict(exclude=REFS) for name, item in expected.items()
    }
    for name, item in found.items():
        for field in REFS & item.state.__fields__.keys():
            assert uids(getattr(item, field) or []) == uids(getattr(expected[name], field) or [])
    assert files(copied) == before


async def test_writing_what_is_there_changes_no_file(tmp_path: Path) -> None:
    copied = shutil.copytree(CATS, tmp_path / "cats")
    before = files(copied)

    store = FileStore(copied)
    for item in (await read_everything(store)).values():
        await store.put(item)

    after = {name: kept for name, kept in files(copied).items() if ".filestore/" not in name}
    assert after == before


REFS = {"carer", "likes", "kittens", "mother", "cats", "friends"}

"""A read-only store reads everything, and creates, locks and writes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from constelite.models import Dynamic, RelInspector, TimePoint, ref
from constelite.store import queries

from filestore import FileStore, ReadOnlyError, StoreFormatError
from tests.directories import by_hand, listing, set_permissions, to
from tests.models import Cat, Food, Human
from tests.test_units_of_work import apart

if TYPE_CHECKING:
    from pathlib import Path

WEIGHT = Dynamic[float](points=[TimePoint[float](timestamp=0, value=4.1)])


async def read_everything(store: FileStore) -> None:
    """Read the directory that was written by hand, in every way there is."""
    cat = (await store.get(to(store, Cat, "tom"))).state
    assert (cat.name, cat.age, cat.weight.points[0].value) == ("Tom", 3, 4.0)
    assert [carer.uid for carer in cat.carer] == ["lisa"]
    assert [item.uid for item in (await store.get(cat.carer[0])).state.cats] == ["tom"]
    assert [hit.uid for hit in await store.query("Creature", include_states=True)] == ["tom"]
    asked = queries.BackrefQuery(
        ref=to(store, Human, "lisa"), class_name="Human", backref_field_name="cats"
    )
    assert [state.name for state in await store.get_model_by_backref(asked)] == ["Tom"]
    assert await store.uid_exists("tom", Cat)


async def test_a_read_only_store_writes_nothing(data: Path) -> None:
    by_hand(data)
    before = listing(data)
    store = FileStore(data, read_only=True)
    await read_everything(store)
    assert listing(data) == before
    assert FileStore(data, read_only=True).uid == store.uid  # the same each time


async def test_a_read_only_store_needs_no_permission_to_write(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that could write fails, as on a read-only file system."""
    by_hand(data)
    set_permissions(data, directories=0o555, files=0o444)

    def refuse(*_arguments: Any, **_keywords: Any) -> None:
        raise OSError(30, "Read-only file system")

    def open_to_read(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            refuse()
        return system_open(path, flags, *arguments, **keywords)

    system_open = os.open
    monkeypatch.setattr(os, "open", open_to_read)
    for name in ("mkdir", "makedirs", "rename", "replace", "unlink", "link", "utime", "truncate"):
        monkeypatch.setattr(os, name, refuse)
    try:
        await read_everything(FileStore(data, read_only=True))
    finally:
        monkeypatch.undo()
        set_permissions(data, directories=0o755, files=0o644)


async def test_a_read_only_store_sees_what_others_write(store: FileStore, data: Path) -> None:
    reader = FileStore(data, read_only=True)
    assert reader.uid == store.uid
    human = await store.put(ref(Human(name="Lisa")))
    assert (await reader.get(human)).state.cats == []
    await store.put(ref(Cat(carer=[human])))
    assert len((await reader.get(human)).state.cats) == 1


async def test_a_read_only_store_does_not_wait_for_writers(store: FileStore, data: Path) -> None:
    put = await store.put(ref(Food(name="Fish")))
    reader = FileStore(data, read_only=True)
    async with store.transaction():
        await store.put(ref(Food(name="Milk")))
        await apart(reader.get(put))
        assert len(await apart(reader.query("Food", include_states=False))) == 1


WRITES = {
    "put": lambda store, tom: store.put(ref(Food(name="Fish"))),
    "put over": lambda store, tom: store.put(ref(Cat(age=1), uid="tom", store=store)),
    "put without state": lambda store, tom: store.put(tom),
    "patch": lambda store, tom: store.patch(ref(Cat(age=1), uid="tom", store=store)),
    "create": lambda store, tom: store.create(Food(name="Fish"), uid="fish"),
    "delete": lambda store, tom: store.delete(tom),
    "transaction": lambda store, tom: store.transaction().__aenter__(),
    "create_model": lambda store, tom: store.create_model(Food, {"name": "Fish"}, {}),
    "delete_model": lambda store, tom: store.delete_model(Cat, "tom"),
    "overwrite_static_props": lambda store, tom: store.overwrite_static_props(
        "tom", Cat, {"age": 1}
    ),
    "overwrite_dynamic_props": lambda store, tom: store.overwrite_dynamic_props(
        "tom", Cat, {"weight": WEIGHT}
    ),
    "extend_dynamic_props": lambda store, tom: store.extend_dynamic_props(
        "tom", Cat, {"weight": WEIGHT}
    ),
    "delete_all_relationships": lambda store, tom: store.delete_all_relationships(
        "tom", Cat, "carer"
    ),
    "create_relationships": lambda store, tom: store.create_relationships(
        "tom",
        Cat,
        RelInspector.from_field(Cat, Cat.__fields__["carer"], [to(store, Human, "lisa")]),
    ),
}


@pytest.mark.parametrize("write_method", WRITES.values(), ids=WRITES.keys())
async def test_every_write_to_a_read_only_store_is_an_error(data: Path, write_method: Any) -> None:
    by_hand(data)
    before = listing(data)
    store = FileStore(data, read_only=True)
    with pytest.raises(ReadOnlyError, match="read_only") as caught:
        await write_method(store, to(store, Cat, "tom"))
    assert isinstance(caught.value, PermissionError)
    assert listing(data) == before


def test_a_read_only_store_is_not_created(data: Path) -> None:
    with pytest.raises(StoreFormatError, match="no directory"):
        FileStore(data, read_only=True)
    assert not data.exists()

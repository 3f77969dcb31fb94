"""Reading states: whole, of the right class, and with errors that name the file."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from constelite.models import Dynamic, Ref, TimePoint, ref

from filestore import CorruptFileError, FileStore, ModelMismatchError, RecordNotFoundError
from filestore.snapshot import Snapshot
from tests.directories import by_hand, to, write
from tests.models import Cat, Food, Human

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_state_is_what_one_commit_left(
    store: FileStore, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another commit comes between the reading of a record's first file and the others."""
    tom = await store.put(ref(Cat(name="old", likes=[])))
    pending = [True]

    def write_new() -> None:
        weight = Dynamic[float](points=[TimePoint[float](timestamp=0, value=1)])
        new = Cat(name="new", likes=[ref(Food())], weight=weight)
        own = FileStore(data)
        asyncio.run(own.put(ref(new, uid=tom.uid, store=own)))

    def interrupted(snapshot: Snapshot, *arguments: Any) -> Any:
        if pending and pending.pop():
            thread = threading.Thread(target=write_new)
            thread.start()
            thread.join()
        return read_links(snapshot, *arguments)

    read_links = Snapshot.links
    monkeypatch.setattr(Snapshot, "links", interrupted)
    state = (await store.get(tom)).state
    assert pending == []
    assert (state.name, len(state.likes), len(state.weight)) == ("new", 1, 1)


async def test_a_record_that_is_not_there(store: FileStore, data: Path) -> None:
    with pytest.raises(RecordNotFoundError, match=r"no record Cat/tom in .*query the model"):
        await store.get(to(store, Cat, "tom"))
    by_hand(data)
    (data / "Cat" / "tom.json").unlink()  # what is left is no record
    with pytest.raises(RecordNotFoundError) as caught:
        await store.get(to(store, Cat, "tom"))
    assert (caught.value.model, caught.value.uid) == ("Cat", "tom")
    assert await store.query("Cat", include_states=True) == []
    assert (await store.get(to(store, Human, "lisa"))).state.cats == []


async def test_a_class_that_is_not_defined(store: FileStore, data: Path) -> None:
    write(data / "Unicorn" / "u.json", {"name": "Uni"})
    unicorn = Ref(record=to(store, Cat, "u").record, state_model_name="Any")
    for method in (store.get, store.delete):
        with pytest.raises(ModelMismatchError, match=r"u\.json is a 'Unicorn'.* import") as caught:
            await method(unicorn)
        assert (caught.value.model, caught.value.uid) == ("Unicorn", "u")
        assert caught.value.path == data / "Unicorn" / "u.json"
    assert (await store.put(unicorn)).state_model_name == "Unicorn"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("tom.json", "", r"tom\.json, line 1: is empty"),
        ("tom.json", "{", r"tom\.json, line 1"),
        ("tom.json", "[]", "a list"),
        ("tom.json", '{\n  "age": "old"\n}', r"tom\.json, line 2: does not fit Cat: 'age'"),
        ("tom.json", '{"model_name": "Kitten"}', "says model_name 'Kitten', but lies in"),
        ("tom.rels.json", "{", r"tom\.rels\.json, line 1"),
        ("tom.rels.json", '{"likes": ["x"]}', "not the path of a record"),
        ("tom.weight.jsonl", '{"timestamp": 0}', r"tom\.weight\.jsonl, line 1"),
        (
            "tom.weight.jsonl",
            '{"timestamp": 0, "value": "much"}',
            r"fit Cat\.weight: point 1: value: .*float",
        ),
    ],
)
async def test_a_file_that_cannot_be_read_is_named(
    store: FileStore, data: Path, name: str, content: str, told: str
) -> None:
    by_hand(data)
    write(data / "Cat" / "felix.json", {"name": "Felix"})
    (data / "Cat" / name).write_text(content)
    with pytest.raises(CorruptFileError, match=told) as caught:
        await store.get(to(store, Cat, "tom"))
    assert caught.value.path == data / "Cat" / name
    assert isinstance(caught.value, ValueError)
    assert (await store.get(to(store, Cat, "felix"))).state.name == "Felix"
    assert (data / "Cat" / name).read_text() == content


async def test_what_becomes_of_one_ref_is_nothing_to_others(store: FileStore) -> None:
    fish = await store.put(ref(Food(name="fish")))
    found = await store.get(fish)
    found.__fields_set__.discard("guid")
    found.record.__fields_set__.discard("url")
    again = await store.get(fish)
    assert again.__fields_set__ == {*Ref.__fields__}
    assert again.record.__fields_set__ == {*type(again.record).__fields__}


async def test_a_fifo_that_somebody_writes_to_is_no_record(store: FileStore, data: Path) -> None:
    await store.put(ref(Food(name="fish")))
    path = data / "Food" / "pipe.json"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        for _ in range(2):
            with pytest.raises(CorruptFileError, match="is a FIFO"):
                await store.get(to(store, Food, "pipe"))
            os.write(writer, b'{"name": "from a pipe"}')
    finally:
        os.close(writer)

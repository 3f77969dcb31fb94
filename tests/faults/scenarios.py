"""What a writer is doing when the fault strikes, on a store with known content."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from constelite.models import Dynamic, Ref, TimePoint, ref
from constelite.models.resolve import get_auto_resolve_model

from filestore import FileStore
from filestore.disk.layout import Key, key_of
from filestore.snapshot import Snapshot
from tests.models import Book, Cat, Food, Human, Kitten, Page

Contents = dict[str, bytes]
Scenario = Callable[[FileStore], Awaitable[object]]


def weights(*points: tuple[float, float]) -> Dynamic[float]:
    """A time series."""
    return Dynamic[float](
        points=[TimePoint[float](timestamp=timestamp, value=value) for timestamp, value in points]
    )


def open_store(root: Path | str, prefix: str = "new", **options: object) -> FileStore:
    """The store in `root`, whose new uids are the same in every run."""
    numbers = itertools.count()
    return FileStore(root, uid_factory=lambda: f"{prefix}-{next(numbers)}", **options)


async def populate(root: Path | str) -> None:
    """Two humans, a cat that has everything, and a book."""
    store = open_store(root, prefix="old")
    lisa, bart = Human(name="Lisa"), Human(name="Bart")
    await store.create(lisa, "lisa")
    await store.create(bart, "bart")
    await store.create(Food(name="fish"), "fish")
    grandchild = Cat(name="Flake")
    child = Cat(name="Snowball II", kittens=[ref(grandchild)])
    cat = Cat(
        name="Snowball",
        age=3,
        weight=weights((0.0, 4.1), (3600.0, 4.2)),
        carer=[to(store, Human, "lisa")],
        likes=[to(store, Food, "fish")],
        kittens=[ref(child), ref(Kitten(name="Coltrane", toy="ball"))],
    )
    await store.create(cat, "snowball")
    await store.create(Book(title="Cats", pages=[ref(Page(number=n)) for n in range(3)]), "book")


def to(store: FileStore, cls: type, uid: str) -> Ref:
    """A ref to a record of the store."""
    assert get_auto_resolve_model(cls.__name__)
    return ref(cls, uid=uid, store=store)


def with_state(store: FileStore, uid: str, state: object) -> Ref:
    """A ref to a record, with a state to write over it."""
    found = to(store, type(state), uid)
    found.state = state
    return found


async def put_one(store: FileStore) -> None:
    """One new record."""
    await store.put(ref(Food(name="milk")))


async def put_graph(store: FileStore) -> None:
    """Twelve new records with all kinds of relationships between them."""
    nested = Cat(name="n", kittens=[ref(Cat(name="n1")), ref(Cat(name="n2"))])
    cat = Cat(
        name="Tom",
        weight=weights((1.0, 5.0)),
        carer=[ref(Human(name="Maggie", friends=[ref(Human(name="Abe"))]))],
        likes=[ref(Food(name=f"food {n}")) for n in range(3)],
        kittens=[ref(nested), ref(Kitten(name="k", toy="t")), ref(Cat(name="l"))],
    )
    await store.put(ref(cat))


async def patch_series_and_links(store: FileStore) -> None:
    """New points, a changed association, a longer aggregation."""
    state = Cat(
        age=4,
        weight=weights((7200.0, 4.3), (10800.0, 4.4)),
        carer=[to(store, Human, "bart")],
        likes=[ref(Food(name="cream"))],
    )
    await store.patch(with_state(store, "snowball", state))


async def overwrite(store: FileStore) -> None:
    """Everything replaced; old members of the composition die with theirs."""
    state = Cat(
        name="Snowball V",
        age=1,
        weight=weights((5.0, 1.0)),
        carer=[],
        kittens=[ref(Cat(name="the only one"))],
    )
    await store.put(with_state(store, "snowball", state))


async def delete_cascading(store: FileStore) -> None:
    """A cat goes, with its kittens and theirs, and every link to them."""
    await store.delete(to(store, Cat, "snowball"))


async def rebuild_index(store: FileStore) -> None:
    """The index is gone; a read of backrefs makes it anew."""
    index = Path(store.root, ".filestore", "index.sqlite")
    if index.exists():
        index.unlink()
    await store.get(to(store, Human, "lisa"))


async def recover(store: FileStore) -> None:
    """Nothing but finishing what is pending."""
    async with store.transaction():
        pass


WRITES: dict[str, Scenario] = {
    "put": put_one,
    "put a graph of 12": put_graph,
    "patch series and links": patch_series_and_links,
    "overwrite": overwrite,
    "delete with cascade": delete_cascading,
}


def contents(root: Path | str) -> Contents:
    """Every record file of a data directory, with its bytes."""
    found = {}
    for path in sorted(Path(root).glob("*/*")):
        name = f"{path.parent.name}/{path.name}"
        if path.parent.name != ".filestore" and key_of(name) is not None:
            found[name] = path.read_bytes()
    return found


def visible(root: Path | str) -> Contents:
    """Every record file as a reader sees it, who takes no lock and recovers nothing."""
    store = FileStore(root, read_only=True)
    view: Snapshot = store._database.view()
    names = set(contents(root)) | set(view._staging.operations)
    found = {name: view.read(name) for name in sorted(names)}
    for model in view.models():
        for uid in view.uids(model):
            assert found[Key(model, uid).properties] is not None
    return {name: data for name, data in found.items() if data is not None}


def leftovers(root: Path | str) -> list[str]:
    """Temporary files that somebody forgot."""
    temporary = Path(root, ".filestore", "tmp")
    return sorted(os.listdir(temporary)) if temporary.exists() else []


def copy(source: Path, target: Path) -> Path:
    """A copy of a data directory."""
    shutil.copytree(source, target, symlinks=True)
    return target

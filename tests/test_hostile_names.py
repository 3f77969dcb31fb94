"""Hostile names: no uid and no model name from outside ever becomes a path."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from constelite.models import ref

from filestore import FileStore
from filestore.errors import InvalidUidError, ModelMismatchError, RecordNotFoundError
from tests.hostile import (
    BAD_MODELS,
    BAD_UIDS,
    Chest,
    others_are_well,
    over,
    populate,
    raised,
    to,
    tree,
)
from tests.models import Cat, Human

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from constelite.models import Ref


class Watch:
    """Every path that Python hands to the operating system while the watch is on.

    Args:
        root: The only directory where paths should lead.
        monkeypatch: Wraps the two calls that have no audit event.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.outside: list[str] = []
        for name in ("stat", "lstat"):
            monkeypatch.setattr(os, name, self._noted(getattr(os, name)))

    def __enter__(self) -> Watch:
        _watches.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watches.remove(self)

    def note(self, path: object) -> None:
        """Remember a path that is not below the root, or leads there over a way back."""
        if self in _watches and isinstance(path, (str, bytes, os.PathLike)):
            name = os.fsdecode(path)
            if not f"{name}/".startswith(f"{self.root}/") or ".." in name.split("/"):
                self.outside.append(name)

    def _noted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def note(path: Any, *args: Any, **options: Any) -> Any:
            # A plain name lies in the directory that is given, noted when that was opened.
            if options.get("dir_fd") is None or os.path.basename(path) != path or path == "..":
                self.note(path)
            return function(path, *args, **options)

        return note


_watches: list[Watch] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watches and event.startswith(("open", "os.", "shutil.", "sqlite3.connect")):
        both = event in ("os.rename", "os.link", "os.symlink")
        for path in args[: 2 if both else 1]:
            _watches[-1].note(path)


sys.addaudithook(_audit)


@pytest.fixture
async def attacked(data: Path) -> FileStore:
    """A store that has done a bit of everything, so that all modules are imported."""
    await populate(data)
    store = FileStore(data)
    await others_are_well(store, linked=True)
    await store.patch(over(store, "snowball", Cat(age=4)))
    return store


@pytest.fixture
def watch(attacked: FileStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(data, monkeypatch)


def test_the_watch_sees_what_it_should(data, watch):
    def strays(act: Callable[[], object]) -> bool:
        watch.outside.clear()
        with watch, contextlib.suppress(OSError):
            act()
        return bool(watch.outside)

    other = str(data.parent / "x")
    assert strays(lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)))
    assert strays(lambda: os.lstat(other))
    assert strays(lambda: os.path.exists(other))
    assert strays(lambda: os.mkdir(f"{data}/../y"))
    assert strays(lambda: os.rename(f"{data}/filestore.json", other))
    assert strays(lambda: os.listdir("/"))
    assert not strays(lambda: os.listdir(data))
    assert not strays(lambda: os.lstat(f"{data}/Cat"))


async def test_a_uid_never_becomes_a_path(attacked, data, watch):
    assert len(set(BAD_UIDS)) >= 40
    for uid in BAD_UIDS:
        before = tree(data.parent)
        with watch:
            await refuse_uid(attacked, uid)
        assert watch.outside == [], uid
        assert tree(data.parent) == before, uid


async def refuse_uid(store: FileStore, uid: str) -> None:
    named = to(store, Cat, uid)
    for attempt in (
        store.get(named),
        store.bulk_get([named]),
        store.put(named),
        store.put(over(store, uid, Cat(name="x"))),
        store.patch(over(store, uid, Cat(name="x"))),
        store.delete(named),
        store.create(Cat(name="x"), uid),
        store.put(ref(Cat(name="x", carer=[to(store, Human, uid)]))),
        store.patch(over(store, "snowball", Cat(kittens=[named]))),
        store.put(over(store, "snowball", Cat(kittens=[over(store, uid, Cat(name="x"))]))),
        store.delete_model(Cat, uid),
        store.overwrite_static_props(uid, Cat, {"name": "x"}),
        store.delete_all_relationships(uid, Cat, "carer"),
        store.get_state_by_uid(uid, Cat),
    ):
        error = await raised(attempt)
        assert isinstance(error, InvalidUidError), (uid, error)
        assert len(str(error)) < 400
    assert not await store.uid_exists(uid, Cat)
    assert not await store.uid_exists(uid, None)


@pytest.mark.parametrize("uid", [None, 5, 1.5, b"snowball", ["snowball"], ("a",)], ids=repr)
async def test_a_uid_that_is_no_text(attacked, uid):
    assert not await attacked.uid_exists(uid, Cat)
    assert isinstance(await raised(attacked.create(Cat(name="x"), uid)), InvalidUidError)


@pytest.mark.parametrize("uid", ["../x", "", "a\n", "x" * 129, None, 7], ids=repr)
async def test_a_factory_that_makes_bad_uids(data, uid):
    store = FileStore(data, uid_factory=lambda: uid)
    before = tree(data.parent)
    assert isinstance(await raised(store.put(ref(Cat(name="x")))), InvalidUidError)
    assert tree(data.parent) == before


async def test_uids_that_are_special_elsewhere_are_plain_names(attacked, data):
    uids = ["con", "CON", "nul", "COM1", "-", "--help", "-rf", "_", "A", "a", "0", "x" * 128]
    for uid in uids:
        await attacked.create(Chest(content=uid), uid)
    for uid in uids:
        assert (await attacked.get(to(attacked, Chest, uid))).state.content == uid
    assert {path.stem for path in (data / "Chest").iterdir()} == {*uids, "chest"}


async def test_a_model_name_never_becomes_a_path(attacked, data, watch):
    assert len(set(BAD_MODELS)) >= 40
    for model in BAD_MODELS:
        before = tree(data.parent)
        with watch:
            await refuse_model(attacked, model)
        assert watch.outside == [], model
        assert tree(data.parent) == before, model


async def refuse_model(store: FileStore, model: str) -> None:
    def named(uid: str) -> Ref:
        found = to(store, Cat, uid)
        found.__dict__["state_model_name"] = model
        return found

    for attempt in (
        store.get(named("nobody")),
        store.put(named("nobody")),
        store.delete(named("nobody")),
    ):
        error = await raised(attempt)
        assert isinstance(error, (RecordNotFoundError, ModelMismatchError)), (model, error)
        assert len(str(error)) < 500
    # A uid names a record by itself, whatever model is claimed, unless no model can be called that.
    found = None
    with contextlib.suppress(ModelMismatchError):
        found = await store.get(named("snowball"))
    assert found is None or found.state_model_name == "Cat", model
    rows = []
    with contextlib.suppress(ModelMismatchError):
        rows = await store.query(model, include_states=False)
    # The base class of all finds all; nothing else here is a model.
    assert len(rows) == (10 if model == "StateModel" else 0), model


CLASSES = """
import asyncio, sys
from constelite.models import StateModel, ref
from filestore import FileStore, ModelMismatchError

names = ["../x", "..", "/etc/passwd", "con", "x.", "A", "a", "a b", "a\\n", "%2e", "Job[int]",
         "~", "caf\\u00e9", "cafe\\u0301", "\\u6e29", ".git", "-rf", "A.json", "M" * 255]

def model(name):
    return type(name, (StateModel,), {"__annotations__": {"number": int}, "__module__": "x"})

async def main():
    store = FileStore(sys.argv[1])
    for number, name in enumerate(names):
        await store.create(model(name)(number=number), f"uid-{number}")
    for number, name in enumerate(names):
        (found,) = await store.query(name, include_states=True)
        assert (found.uid, found.state.number) == (f"uid-{number}", number), name
    for name in ("M" * 256, "\\u6e29" * 29):
        try:
            await store.put(ref(model(name)(number=1)))
        except ModelMismatchError as error:
            assert "cannot name a model directory" in str(error)
        else:
            raise AssertionError(name)

asyncio.run(main())
print(len(names))
"""


def test_classes_may_be_called_anything(tmp_path):
    """In a process of its own, because a class stays known by its name until the end."""
    root = tmp_path / "a/b/c"
    done = subprocess.run(
        [sys.executable, "-c", CLASSES, root],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = list(tmp_path.rglob("uid-*.json"))
    assert len(records) == int(done.stdout)
    assert {path.parent.parent for path in records} == {root}
    assert list((tmp_path / "a/b").iterdir()) == [root]

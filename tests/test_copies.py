"""The index's copies of property files: they spare reading a file, and are never taken for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Optional

import pytest
from constelite.models import Ref, StateModel, ref

from filestore import FileStore, LockTimeoutError
from filestore.disk import changes, copies, index
from filestore.disk.files import Files
from filestore.disk.kinds import Kind
from filestore.disk.log import Operation, digest
from filestore.snapshot import Snapshot


class Leaflet(StateModel):
    """A plain record: nothing but properties."""

    kind: Optional[str]
    text: Optional[str]
    extent: Any


NUMBER = 8


@pytest.fixture
async def leaflets(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    """A store that the index knows: four leaflets of each of two kinds, in a large directory."""
    if not Files(str(store.root)).has_fine_times():
        pytest.skip("file times are too coarse here: files this young are read instead")
    monkeypatch.setattr(changes, "_SMALL", 0)
    for n in range(NUMBER):
        await store.create(Leaflet(kind="ab"[n % 2], text=f"text {n}"), f"l{n}")
    assert await store.count(Leaflet, kind="a") == NUMBER // 2
    return store


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    names: list[str] = []
    read = Files.read
    monkeypatch.setattr(Files, "read", lambda self, name: names.append(name) or read(self, name))
    return names


def path_of(store: FileStore, uid: str) -> Path:
    return store.root / "Leaflet" / f"{uid}.json"


def texts(found: list[Ref]) -> dict[str, str]:
    return {each.uid: each.state.text for each in found}


def edit(path: Path, old: str, new: str, *, restore: bool = True) -> None:
    """Rewrite a file in place, as long as it was, and with the mtime that it had."""
    status = path.stat()
    assert len(old) == len(new)
    path.write_text(path.read_text().replace(old, new))
    if restore:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# -- what is read ----------------------------------------------------------------------------------


async def test_many_hits_come_without_copies(
    leaflets: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the memory that a query takes is bounded."""
    asked = ("Leaflet", "kind", [(Kind.TEXT, "a", "a")])
    assert None not in leaflets._database.index.having(*asked).values()
    monkeypatch.setattr(index, "_FEW", 3)
    found = leaflets._database.index.having(*asked)
    assert found == dict.fromkeys(["l0", "l2", "l4", "l6"])


@pytest.mark.parametrize("few", [1, 500], ids=["many hits", "few hits"])
async def test_no_file_of_a_hit_is_read(
    leaflets: FileStore, files_read: list[str], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(index, "_FEW", few)
    expected = {f"l{n}": f"text {n}" for n in range(0, NUMBER, 2)}
    assert texts(await leaflets.find(Leaflet, kind="a")) == expected
    assert await leaflets.count(Leaflet, kind="a", text="text 2") == 1
    assert texts(await leaflets.find(Leaflet, kind="a", text__ne="text 2", limit=2)) == {
        "l0": "text 0",
        "l4": "text 4",
    }
    # No index narrows this down, but all that it asks is in the copies.
    assert await leaflets.count(Leaflet, text__regex="[0-3]$") == 4
    assert files_read == []
    await leaflets.patch(ref(Leaflet(text="new"), "l2", leaflets))
    files_read.clear()
    assert texts(await leaflets.find(Leaflet, kind="a")) == {**expected, "l2": "new"}
    assert files_read == ["Leaflet/l2.json"]  # by the index, which has a copy of it now


async def test_states_are_what_a_get_returns(leaflets: FileStore) -> None:
    values = [0, -0.0, 1.5, 1e300, True, "é\U0001f600", [1, {"a": None}], {}, 1 << 63, 1 << 70]
    for n, value in enumerate(values):
        await leaflets.create(Leaflet(kind="c", extent=value), f"c{n:02}")
    found = await leaflets.find(Leaflet, kind="c")
    for each in found:
        read = (await leaflets.get(each)).state
        assert repr(each.state.extent) == repr(read.extent)
        assert each.state.__fields_set__ == read.__fields_set__
    assert [repr(each.state.extent) for each in found] == list(map(repr, values))


def test_what_is_not_kept() -> None:
    assert copies.content_of({"a": 1}) == b'{"a":1}'
    assert copies.content_of({"a": "x" * 4088}) is not None
    assert copies.content_of({"a": "x" * 4089}) is None
    assert copies.content_of({"a": 1 << 64}) is None


async def test_long_records_are_read_from_their_files(
    leaflets: FileStore, files_read: list[str]
) -> None:
    for uid in ("x", "y"):
        await leaflets.create(Leaflet(kind="long", text=uid * 5000), uid)
    assert await leaflets.count(Leaflet, kind="long") == 2
    files_read.clear()
    found = texts(await leaflets.find(Leaflet, kind="long"))
    assert found == {"x": "x" * 5000, "y": "y" * 5000}
    assert files_read == ["Leaflet/x.json", "Leaflet/y.json"]


# -- when a copy does not count --------------------------------------------------------------------


async def test_a_file_edited_in_place_is_not_answered_from_its_copy(leaflets: FileStore) -> None:
    edit(path_of(leaflets, "l0"), "text 0", "text x")
    edit(path_of(leaflets, "l2"), '"kind": "a"', '"kind": "z"')
    found = texts(await leaflets.find(Leaflet, kind="a"))
    assert found == {"l0": "text x", "l4": "text 4", "l6": "text 6"}
    assert await leaflets.count(Leaflet, kind="a", text="text 0") == 0


@pytest.mark.parametrize("what", ["replaced", "edited", "deleted", "directory"])
async def test_a_file_that_changes_while_a_query_runs(
    leaflets: FileStore, monkeypatch: pytest.MonkeyPatch, what: str, tmp_path: Path
) -> None:
    """It changes when the index has given its copy, before anything is made of it."""
    given = Snapshot.copies
    path = path_of(leaflets, "l2")

    def copied(self: Snapshot, *args: Any) -> Any:
        found = given(self, *args)
        assert found["l2"] is not None
        if what == "replaced":
            (tmp_path / "next").write_text(path.read_text().replace("text 2", "text x"))
            (tmp_path / "next").replace(path)
        elif what == "edited":
            edit(path, "text 2", "text x")
        elif what == "deleted":
            path.unlink()
        else:
            shutil.rmtree(path.parent)
        return found

    monkeypatch.setattr(Snapshot, "copies", copied)
    expected = {"l0": "text 0", "l2": "text x", "l4": "text 4", "l6": "text 6"}
    if what == "deleted":
        del expected["l2"]
    assert texts(await leaflets.find(Leaflet, kind="a")) == (
        {} if what == "directory" else expected
    )


async def test_what_is_written_while_records_are_iterated_is_seen(leaflets: FileStore) -> None:
    found = {}
    async for each in leaflets.iterate(Leaflet, kind="a"):
        found[each.uid] = each.state.text
        if each.uid == "l0":
            await leaflets.patch(ref(Leaflet(text="new"), "l2", leaflets))
            await leaflets.delete(ref(Leaflet, "l4", leaflets))
    assert found == {"l0": "text 0", "l2": "new", "l6": "text 6"}


async def test_what_is_staged_wins(leaflets: FileStore) -> None:
    async with leaflets.transaction():
        await leaflets.patch(ref(Leaflet(text="new"), "l0", leaflets))
        await leaflets.patch(ref(Leaflet(kind="b"), "l2", leaflets))
        await leaflets.delete(ref(Leaflet, "l4", leaflets))
        found = texts(await leaflets.find(Leaflet, kind="a"))
        assert found == {"l0": "new", "l6": "text 6"}


async def test_a_commit_that_was_left_pending_wins(leaflets: FileStore) -> None:
    before = path_of(leaflets, "l0").read_bytes()
    after = before.replace(b"text 0", b"text x")
    log = leaflets._database.log
    operations = [
        Operation("Leaflet/l0.json", digest(before), after),
        Operation("Leaflet/l2.json", digest(path_of(leaflets, "l2").read_bytes()), None),
    ]
    log.commit(log.append(log.open(), operations, {}))
    found = texts(await FileStore(leaflets.root).find(Leaflet, kind="a"))
    assert found == {"l0": "text x", "l4": "text 4", "l6": "text 6"}
    assert path_of(leaflets, "l0").read_bytes() == before


async def test_a_unit_that_loses_its_lock_finds_out_what_changed(leaflets: FileStore) -> None:
    """What a query in it has read counts as read."""

    async def unit() -> None:
        async with leaflets.transaction():
            assert len(await leaflets.find(Leaflet, kind="a")) == 4
            shutil.rmtree(leaflets.root / ".filestore")
            edit(path_of(leaflets, "l2"), "text 2", "text x")
            await leaflets.patch(ref(Leaflet(text="new"), "l0", leaflets))

    with pytest.raises(LockTimeoutError, match=r"l2\.json was changed"):
        await unit()


async def test_a_file_too_young_to_be_proven_is_read(
    store: FileStore, files_read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Files, "has_fine_times", lambda _: False)
    monkeypatch.setattr(index, "_RACY_NS", 1 << 62)
    for uid in ("x", "y"):
        await store.create(Leaflet(kind="a", text=uid), uid)
    assert await store.count(Leaflet, kind="a") == 2
    files_read.clear()
    assert await store.count(Leaflet, kind="a") == 2
    # Once by the index, which compares the directory, and once as a hit.
    assert sorted(files_read) == [*["Leaflet/x.json"] * 2, *["Leaflet/y.json"] * 2]


async def test_a_directory_that_becomes_a_link_is_not_followed(
    leaflets: FileStore, tmp_path: Path
) -> None:
    view = leaflets._database.view()
    assert view.catch_up()
    given = view.copies("Leaflet", ["l0", "l2", "none"], {})
    assert view.documents("Leaflet", given).keys() == {"l0", "l2"}
    (leaflets.root / "Leaflet").rename(tmp_path / "elsewhere")
    (leaflets.root / "Leaflet").symlink_to(tmp_path / "elsewhere")
    assert view.documents("Leaflet", given) == {}


async def test_without_the_index_there_are_no_copies(leaflets: FileStore) -> None:
    """A query that asks for nothing does not wait for the index."""
    assert leaflets._database.view().copies("Leaflet", ["l0", "l2"], {}) == {"l0": None, "l2": None}


async def test_a_revision_has_copies_too(leaflets: FileStore, files_read: list[str]) -> None:
    (leaflets.root / "Leaflet" / "README").write_text("of no record")
    git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        await asyncio.to_thread(subprocess.run, [*git, *command], cwd=leaflets.root, check=True)
    await leaflets.patch(ref(Leaflet(text="new"), "l0", leaflets))
    past = leaflets.at("HEAD")
    reads: list[str] = []
    assert await past.count(Leaflet, kind="a") == 4
    files = past._database.files
    original = type(files).read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(files), "read", lambda self, name: reads.append(name) or original(self, name)
        )
        assert texts(await past.find(Leaflet, kind="a"))["l0"] == "text 0"
    assert reads == []

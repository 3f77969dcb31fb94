"""Files that are as they were are known by a sum over them, and nothing that differs escapes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from constelite.models import Dynamic, TimePoint

from filestore import FileStore
from filestore.disk import changes, learning
from filestore.disk.files import Files
from tests.models import Cat
from tests.test_index import (
    BART,
    CATS,
    LISA,
    agrees,
    brute_force,
    caught_up,
    no_longer_racy,
    open_index,
    root,
    write,
)

__all__ = ["no_longer_racy", "root"]

AA = ("aa.json", 11, 300, 1_700_000_000_123_456_789, 1_700_000_000_123_999_999)
BB = ("bb.rels.json", 12, 301, 1_700_000_001_000_000_000, 1_700_000_001_000_000_001)
WEIGHT = Dynamic[float](points=[TimePoint(timestamp=1, value=4.1)])


def total(*files: tuple[str, int, int, int, int]) -> int:
    return sum(changes.stamp(*file) for file in files)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models whose files are looked at, each as often as they are."""
    models: list[str] = []
    real = Files.fingerprints
    monkeypatch.setattr(Files, "fingerprints", lambda *args: models.append(args[1]) or real(*args))
    return models


# -- what differs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(5), ids=["name", "inode", "size", "mtime", "ctime"])
def test_two_files_that_swap_one_thing_have_another_sum(part: int) -> None:
    aa, bb = list(AA), list(BB)
    aa[part], bb[part] = bb[part], aa[part]
    assert total(aa, bb) != total(AA, BB)
    assert total(AA, bb) != total(AA, BB)
    assert total(BB, AA) == total(AA, BB)


def test_every_process_makes_the_same_stamps() -> None:
    code = f"from filestore.disk import changes; print(changes.stamp(*{AA}))"
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert int(run.stdout) == changes.stamp(*AA)


def edited_in_place(aa: Path, _: Path) -> None:
    """Other content of the same size, with the time that the file had."""
    before = aa.stat()
    aa.write_bytes(aa.read_bytes().replace(b"lisa", b"bart"))
    os.utime(aa, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (aa.stat().st_size, aa.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def swapped_by_renaming(aa: Path, bb: Path) -> None:
    """The same files in the same directory, which has its time again, by other names."""
    before = aa.parent.stat()
    aa.rename(aa.with_name("between"))
    bb.rename(aa)
    aa.with_name("between").rename(bb)
    os.utime(aa.parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped_in_place(aa: Path, bb: Path) -> None:
    """Each file has the content and the time that the other one had."""
    (one, at), (other, then) = ((path.read_bytes(), path.stat().st_mtime_ns) for path in (aa, bb))
    aa.write_bytes(other)
    bb.write_bytes(one)
    os.utime(aa, ns=(then, then))
    os.utime(bb, ns=(at, at))


def one_gone_another_new(aa: Path, _: Path) -> None:
    shutil.copy2(aa, aa.with_name("cc.rels.json"))
    aa.unlink()


@pytest.mark.usefixtures("no_longer_racy")
@pytest.mark.parametrize(
    "edit", [edited_in_place, swapped_by_renaming, swapped_in_place, one_gone_another_new]
)
@pytest.mark.parametrize("refreshed", [False, True], ids=["first use", "refresh"])
def test_what_differs_is_found(root, monkeypatch, edit, refreshed):
    monkeypatch.setattr(changes, "_SMALL", 0)
    found = caught_up(root)
    before = brute_force(root)
    edit(root / CATS[0].links, root / CATS[1].links)
    assert brute_force(root) != before
    if refreshed:
        found.refresh()
    else:
        found = caught_up(root)
    agrees(found, root)


# -- what does not ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_longer_racy")
def test_files_that_are_as_they_were_are_looked_at_once(root, listed):
    """And the database is asked for none of them by name."""
    caught_up(root)
    listed.clear()
    found = open_index(root)
    asked: list[str] = []
    found._file.open().set_trace_callback(asked.append)
    found.catch_up()
    assert listed == ["Cat", "Human"]
    assert [text for text in asked if "stamp" in text]
    assert [text for text in asked if " name " in text and "FROM file" in text] == []
    agrees(found, root)


def test_nothing_is_summed_where_nothing_is_known(root, monkeypatch):
    summed: list[str] = []
    real = changes.stamp
    monkeypatch.setattr(changes, "stamp", lambda *args: summed.append(args[0]) or real(*args))
    agrees(caught_up(root), root)
    assert len(summed) == len(Files(str(root)).models())


@pytest.mark.usefixtures("no_longer_racy")
@pytest.mark.parametrize("stamp", [(1 << 63) - 1, -1 << 63])
def test_a_sum_of_the_largest_stamps_is_as_good(root, monkeypatch, listed, stamp):
    for module in (changes, learning):
        monkeypatch.setattr(module, "stamp", lambda *_: stamp)
    write(root, CATS[2], {"carer": [BART]})
    caught_up(root)
    listed.clear()
    agrees(caught_up(root), root)
    assert set(listed) == {"Cat", "Human"}


@pytest.mark.usefixtures("no_longer_racy")
def test_a_listing_of_a_directory_that_moved_is_not_believed(root, monkeypatch):
    """A new file may be missing in it, and what is listed is what is known."""
    caught_up(root)
    write(root, CATS[2], {"carer": [BART]})
    real = Files.fingerprints
    forgotten = [f"{CATS[2].uid}.rels.json"]

    def forgetful(self, model, wanted):
        found = list(real(self, model, wanted))
        if model == "Cat" and forgotten:
            name = forgotten.pop()
            os.utime(root / "Cat")
            found = [each for each in found if each[0] != name]
        return found

    monkeypatch.setattr(Files, "fingerprints", forgetful)
    agrees(caught_up(root), root)
    assert forgotten == []


@pytest.mark.usefixtures("no_longer_racy")
def test_a_file_that_is_never_listed_is_not_taken_for_deleted(root, monkeypatch):
    """Its directory does not rest, and the other file is gone."""
    caught_up(root)
    real = Files.fingerprints

    def restless(self, model, wanted):
        found = list(real(self, model, wanted))
        if model == "Cat":
            os.utime(root / "Cat")
        return [each for each in found if each[0] != f"{CATS[1].uid}.rels.json"]

    (root / CATS[0].links).unlink()
    monkeypatch.setattr(Files, "fingerprints", restless)
    found = caught_up(root)
    agrees(found, root)
    assert (CATS[1], "carer") in found.incoming([LISA])[LISA]


async def test_what_the_log_names_does_not_count_as_different(tmp_path, monkeypatch, listed):
    """A record that was deleted is not missed, so no file is asked whether it is still there."""
    store = FileStore(tmp_path)
    for number in range(20):
        await store.create(Cat(age=number % 5), f"c{number}")
    assert await store.count(Cat, age=3) == 4
    if not Files(str(tmp_path)).has_fine_times():
        pytest.skip("file times are too coarse here: files are read again instead")
    await store.create(Cat(age=3), "new")
    other = FileStore(tmp_path)
    await store.delete_model(Cat, "c3")
    await store.delete_model(Cat, "c8")
    asked = []
    each, many = Files.fingerprint, Files.fingerprints_of
    monkeypatch.setattr(Files, "fingerprint", lambda *args: asked.append(args[1]) or each(*args))
    monkeypatch.setattr(
        Files, "fingerprints_of", lambda *args: asked.extend(args[2]) or many(*args)
    )
    listed.clear()
    assert await other.count(Cat, age=3) == 3
    assert listed == ["Cat"]
    assert "c8.json" in asked
    assert not any("c5.json" in name for name in asked)


async def test_how_far_the_log_was_followed_is_known_to_others(tmp_path):
    store = FileStore(tmp_path)
    index, log = store._database.index, store._database.log

    async def followed() -> bool:
        assert await store.count(Cat, age=3) == 1
        marks = log.marks()
        kept = index._select("SELECT sequence, end FROM log")
        return kept == [(marks.committed, marks.committed_end)]

    await store.create(Cat(age=3), "c3")
    assert await followed()
    await store.create(Cat(age=4), "c4")
    assert await followed()
    await store.extend_dynamic_props("c4", Cat, {"weight": WEIGHT})  # no document is changed
    assert await followed()


# -- what else keeping up is about -----------------------------------------------------------------


def test_progress_tells_how_many_files_there_are(root, monkeypatch):
    monkeypatch.setattr(changes, "BATCH", 1)
    (root / "Cat" / "README").write_text("no document")
    told: list[tuple[int, int]] = []
    caught_up(root).rebuild(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_directory_that_another_index_has_read_may_vanish(root, monkeypatch):
    monkeypatch.setattr(changes, "_SMALL", 0)
    found = caught_up(root)
    (root / "Job").mkdir()
    (root / "Job" / "j.rels.json").write_text('{"of": ["Human/lisa"]}')
    caught_up(root)
    found.catch_up()
    shutil.rmtree(root / "Job")
    found.catch_up()
    assert found.sources("Job", "of", [LISA.uid]) == set()

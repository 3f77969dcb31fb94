"""The link index: whatever happens to the files and to itself, it says what the files say."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filestore.disk import changes, documents, files, index, indexfile
from filestore.disk.files import Files, Fingerprint
from filestore.disk.index import Index
from filestore.disk.kinds import Kind
from filestore.disk.layout import Key, links_uid_of, model_of
from filestore.disk.log import Log
from filestore.errors import CorruptFileError

DATABASE = ".filestore/index.sqlite"
MODELS = ("Cat", "Human", "Job[int]")
LISA, BART = Key("Human", "lisa"), Key("Human", "bart")
CATS = [Key("Cat", name) for name in ("aa", "bb", "cc")]

Links = dict[str, list[Key]]


def write(root: Path, key: Key, links: Links | bytes, *, in_place: bool = False) -> None:
    """Write a relationship file as a store does, or as an editor that does not rename."""
    path = root / key.links
    path.parent.mkdir(exist_ok=True, parents=True)
    target = path if in_place else root / "next"
    target.write_bytes(links if isinstance(links, bytes) else documents.encode_links(links))
    target.replace(path)


def brute_force(root: Path) -> tuple[dict[Key, list[tuple[Key, str]]], list[Key]]:
    """All incoming links, and the files that cannot be read, by reading every file."""
    incoming: dict[Key, list[tuple[Key, str]]] = {}
    unreadable = []
    for path in sorted(root.glob("*/*.rels.json")):
        model, uid = model_of(path.parent.name), links_uid_of(path.name)
        if path.parent.is_symlink() or model is None or uid is None:
            continue
        try:
            links = documents.decode_links(path.read_bytes(), path)
        except (CorruptFileError, OSError):
            unreadable.append(Key(model, uid))
            continue
        for name, targets in links.items():
            for target in targets:
                incoming.setdefault(target, []).append((Key(model, uid), name))
    return {target: sorted(found) for target, found in incoming.items()}, sorted(unreadable)


def agrees(found: Index, root: Path, *targets: Key) -> None:
    """The index says what brute force says, about all targets there are and the ones given."""
    incoming, unreadable = brute_force(root)
    for target in {*incoming, *targets, LISA, BART, *CATS}:
        assert found.incoming([target])[target] == incoming.get(target, []), target
    assert found.unreadable() == unreadable


def open_index(root: Path, *, in_memory: bool = False) -> Index:
    return Index(Files(str(root)), Log(Files(str(root))), in_memory=in_memory)


def caught_up(root: Path) -> Index:
    found = open_index(root)
    found.catch_up()
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three cats, linked to one another and to two humans; one has no relationships."""
    root = tmp_path / "data"
    write(root, CATS[0], {"carer": [LISA], "kittens": [CATS[1], CATS[2]]})
    write(root, CATS[1], {"carer": [LISA, BART], "kittens": []})
    (root / "Human").mkdir()
    (root / "Human/lisa.json").write_text("{}")
    return root


@pytest.fixture
def no_longer_racy(root: Path) -> None:
    """Let the files grow old enough for their times to prove something."""
    time.sleep(0.03)


def opened(root: Path) -> list[str]:
    """What this process has open below the root."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/self/fd/{number}"))
    return [name for name in names if name.startswith(str(root))]


# -- any edit --------------------------------------------------------------------------------------

keys = st.builds(Key, st.sampled_from(MODELS), st.sampled_from(["aa", "bb", "cc"]))
link_sets = st.dictionaries(
    st.sampled_from(["carer", "kittens", "a b\0"]), st.lists(keys, max_size=3, unique=True)
)
contents = link_sets | st.sampled_from([b"", b"{", b"[]", b'{"carer": ["../x"]}', b"<<<<<<< a\n"])
edits = st.one_of(
    st.tuples(st.just("write"), keys, contents),
    st.tuples(st.just("overwrite"), keys, contents),
    st.tuples(st.just("rename"), keys, keys),
    st.tuples(st.just("delete"), keys, st.none()),
    st.tuples(st.just("delete model"), keys, st.none()),
    st.tuples(st.just("catch up"), keys, st.none()),
)


def edit(root: Path, what: str, key: Key, value: Links | bytes | Key | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        if what == "rename":
            (root / value.links).parent.mkdir(exist_ok=True)
            (root / key.links).rename(root / value.links)
        elif what == "delete":
            (root / key.links).unlink()
        elif what == "delete model":
            shutil.rmtree((root / key.links).parent)
        else:
            write(root, key, value, in_place=what == "overwrite")


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(edits, max_size=20), st.booleans())
@example(
    [
        ("write", CATS[0], {"carer": [Key("Cat", "aa")]}),
        ("catch up", CATS[0], None),
        ("overwrite", CATS[0], {"carer": [Key("Cat", "bb")]}),
        ("catch up", CATS[0], None),
        ("overwrite", CATS[0], {"carer": [Key("Cat", "cc")]}),
    ],
    False,
)
def test_it_equals_brute_force_after_any_edits(steps, in_memory):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        found = open_index(root, in_memory=in_memory)
        for what, key, value in steps:
            if what == "catch up":
                found.catch_up()
                agrees(found, root, key)
            else:
                edit(root, what, key, value)
        found.catch_up()
        agrees(found, root)
        again = open_index(root)
        again.catch_up()
        agrees(again, root)
        found.close()
        again.close()


@pytest.mark.usefixtures("no_longer_racy")
def test_nothing_is_read_when_nothing_changed(root, monkeypatch):
    found = caught_up(root)
    read = []
    original = Files.read
    monkeypatch.setattr(Files, "read", lambda self, name: read.append(name) or original(self, name))
    found.catch_up()
    caught_up(root)
    assert read == []
    write(root, CATS[1], {"carer": [BART]})
    found.catch_up()
    assert read == [CATS[1].links]
    agrees(found, root)


def test_many_files_are_learned_in_batches(root, monkeypatch):
    monkeypatch.setattr(changes, "BATCH", 3)
    for number in range(11):
        write(root, Key("Cat", f"{number}"), {"carer": [LISA]})
    found = caught_up(root)
    assert len(found.incoming([LISA])[LISA]) == 13
    shutil.rmtree(root / "Cat")
    found.catch_up()
    assert found.incoming([LISA])[LISA] == []


def test_it_knows_all_files_of_a_record(root, monkeypatch):
    monkeypatch.setattr(changes, "_SMALL", 0)
    found = caught_up(root)
    assert found.files_of(CATS) == [CATS[0].links, CATS[1].links]
    names = ["aa.json", "aa.weight.jsonl", "aa.a%20b.jsonl"]
    for name in (*names, "aa-b.json", "a.json", "aaa.weight.jsonl", "aa.%zz.jsonl", "aa.x.json"):
        (root / "Cat" / name).write_text("{}\n")
    found.catch_up()
    assert {*found.files_of([CATS[0]])} == {CATS[0].links, *(f"Cat/{name}" for name in names)}
    assert found.files_of([LISA, CATS[1]]) == ["Human/lisa.json", CATS[1].links]
    (root / "Cat/aa.weight.jsonl").unlink()
    found.catch_up()
    assert "Cat/aa.weight.jsonl" not in found.files_of([CATS[0]])
    assert found.rebuild() == (6, 5)  # the series that are left are not among those it has read


def test_its_journal_stays_and_stays_small(root):
    for number in range(2000):
        write(root, Key("Cat", f"{number}"), {"carer": [LISA]})
    found = caught_up(root)
    for number in range(2000):
        write(root, Key("Cat", f"{number}"), {"carer": [BART]})
    found.catch_up()
    agrees(found, root)
    assert 0 < (root / f"{DATABASE}-journal").stat().st_size <= 1 << 16
    found.rebuild()
    agrees(found, root)


def test_an_index_in_memory_writes_nothing(root):
    before = sorted(root.rglob("*"))
    found = open_index(root, in_memory=True)
    found.catch_up()
    agrees(found, root)
    assert sorted(root.rglob("*")) == before


def test_it_may_be_asked_before_it_was_told_to_catch_up(root):
    assert open_index(root).incoming([BART])[BART] == [(CATS[1], "carer")]
    assert open_index(root).unreadable() == []


def test_a_symlinked_model_directory_contributes_nothing(root, tmp_path):
    found = caught_up(root)
    outside = tmp_path / "outside"
    (root / "Cat").rename(outside)
    (root / "Cat").symlink_to(outside)
    found.catch_up()
    assert found.incoming([LISA])[LISA] == []
    agrees(found, root)
    agrees(caught_up(root), root)


# -- times that are too coarse to tell -------------------------------------------------------------


class Clock:
    """The time as files and the index see it; files change at `changed`, whatever they hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changed = 1_700_000_000_000_000_000
        self.readings = [self.changed]
        monkeypatch.setattr(time, "time_ns", self.now)
        monkeypatch.setattr(Files, "has_fine_times", lambda _: False)
        monkeypatch.setattr(Files, "fingerprint", lambda *_: self.fingerprint())
        monkeypatch.setattr(
            Files, "fingerprints_of", lambda _, model, __: self.fingerprints(model, None)
        )
        monkeypatch.setattr(Files, "fingerprints", self.fingerprints)

    def now(self) -> int:
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(7, 42, self.changed, self.changed)

    def fingerprints(self, model: str, _):
        return [("aa.rels.json", *self.fingerprint())] if model == "Cat" else []


@pytest.fixture
def clock(root: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    (root / CATS[1].links).unlink()
    return Clock(monkeypatch)


def test_an_edit_in_the_same_clock_tick_is_seen(root, clock):
    found = open_index(root)
    clock.readings = [clock.changed + 5_000_000]
    found.catch_up()
    assert found.incoming([BART])[BART] == []
    write(root, CATS[0], {"carer": [BART]}, in_place=True)
    clock.readings = [clock.changed + 9_000_000]
    found.catch_up()
    assert found.incoming([BART])[BART] == [(CATS[0], "carer")]
    assert found.incoming([LISA])[LISA] == []


def test_a_slow_read_does_not_make_a_young_file_old(root, clock):
    found = open_index(root)
    clock.readings = [clock.changed + 5_000_000] * 2 + [clock.changed + 500_000_000]
    found.catch_up()
    write(root, CATS[0], {"carer": [BART]}, in_place=True)
    found.catch_up()
    assert found.incoming([BART])[BART] == [(CATS[0], "carer")]


def test_an_old_file_is_taken_by_its_fingerprint(root, clock):
    found = open_index(root)
    clock.readings = [clock.changed + 50_000_000]
    found.catch_up()
    write(root, CATS[0], {"carer": [BART]}, in_place=True)
    found.catch_up()
    assert (
        found.incoming([BART])[BART] == []
    )  # nothing told that it changed, so it was not read again


def test_edits_of_equal_size_in_quick_succession_are_seen(root):
    found = open_index(root)
    for number in range(100):
        target = (LISA, BART)[number % 2]
        write(root, CATS[0], {"carer": [target]}, in_place=True)
        found.catch_up()
        assert (CATS[0], "carer") in found.incoming([target])[target]


# -- files that cannot be read ---------------------------------------------------------------------

BROKEN = {
    "empty": b"",
    "NUL": b"\0\0\0",
    "truncated": b'{"carer": ["Human/lisa"',
    "merge": b'{\n<<<<<<< HEAD\n"carer": ["Human/lisa"]\n=======\n>>>>>>> b\n}',
    "list": b'["Human/lisa"]',
    "a key twice": b'{"carer": ["Human/lisa"], "carer": ["Human/lisa"]}',
    "no link": b'{"carer": ["Human/lisa", "/etc/passwd"]}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_an_unreadable_file_contributes_nothing_and_is_reported(root, content):
    write(root, CATS[0], content)
    found = caught_up(root)
    assert found.unreadable() == [CATS[0]]
    assert found.incoming([LISA])[LISA] == [(CATS[1], "carer")]
    write(root, CATS[1], content, in_place=True)
    found.catch_up()
    assert found.unreadable() == [CATS[0], CATS[1]]
    assert found.incoming([LISA])[LISA] == []
    write(root, CATS[0], {"carer": [LISA]})
    found.catch_up()
    assert found.unreadable() == [CATS[1]]
    assert found.incoming([LISA])[LISA] == [(CATS[0], "carer")]


def test_what_is_no_file_contributes_nothing_and_is_reported(root, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(documents.encode_links({"carer": [LISA]}))
    for uid, make in {
        "directory": lambda path: path.mkdir(),
        "fifo": os.mkfifo,
        "link": lambda path: path.symlink_to(outside),
        "dangling": lambda path: path.symlink_to(tmp_path / "nowhere"),
    }.items():
        make(root / Key("Cat", uid).links)
    found = caught_up(root)
    assert [key.uid for key in found.unreadable()] == ["dangling", "directory", "fifo", "link"]
    assert found.incoming([LISA])[LISA] == [(CATS[0], "carer"), (CATS[1], "carer")]


@pytest.mark.usefixtures("no_longer_racy")
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_a_file_that_could_not_be_read_is_tried_again_without_a_change(root, monkeypatch, code):
    original = Files.read

    def read(self, name):
        if name == CATS[0].links:
            raise OSError(code, os.strerror(code))
        return original(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(Files, "read", read)
        found = caught_up(root)
        assert found.unreadable() == [CATS[0]]
        assert found.incoming([LISA])[LISA] == [(CATS[1], "carer")]
    found.catch_up()
    assert found.unreadable() == []
    assert (CATS[0], "carer") in found.incoming([LISA])[LISA]


def test_too_few_descriptors_are_not_taken_for_a_bad_file(root, monkeypatch):
    def read(self, name):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    found = open_index(root)
    with monkeypatch.context() as patched:
        patched.setattr(Files, "read", read)
        with pytest.raises(OSError, match="Too many open files"):
            found.catch_up()
    found.catch_up()
    agrees(found, root)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO], ids=errno.errorcode.get)
def test_a_directory_that_cannot_be_opened_is_not_taken_for_a_missing_one(root, monkeypatch, code):
    found = caught_up(root)
    opened = files.Descriptor.__init__

    def refuse(self, path, flags):
        if flags & os.O_DIRECTORY:
            raise OSError(code, os.strerror(code))
        opened(self, path, flags)

    write(root, CATS[2], {"carer": [BART]})
    with monkeypatch.context() as patched:
        patched.setattr(files.Descriptor, "__init__", refuse)
        with pytest.raises(OSError, match=os.strerror(code)):
            found.catch_up()
    found.catch_up()
    agrees(found, root)


def test_a_file_that_goes_while_it_is_learned_is_gone(root, monkeypatch):
    original = Files.read

    def read(self, name):
        (root / name).unlink()
        return original(self, name)

    found = open_index(root)
    with monkeypatch.context() as patched:
        patched.setattr(Files, "read", read)
        found.catch_up()
    assert found.files_of([*CATS, LISA]) == []
    found.catch_up()
    agrees(found, root)


@pytest.mark.parametrize("content", [BROKEN["truncated"], b"{}", None], ids=ascii)
def test_a_link_that_a_file_has_no_longer_is_not_returned(root, content):
    found = caught_up(root)
    if content is None:
        (root / CATS[0].links).unlink()
    else:
        write(root, CATS[0], content, in_place=True)
    assert found.incoming([LISA, BART]) == {
        LISA: [(CATS[1], "carer")],
        BART: [(CATS[1], "carer")],
    }


def test_the_name_of_the_model_is_not_kept_with_each_record(root):
    (root / "Cat/aa.json").write_text('{"model_name": "Cat", "name": "Tom"}')
    found = caught_up(root)
    assert found.values("Cat", "name") == [(Kind.TEXT, "Tom")]
    assert found.values("Cat", "model_name") == []


# -- a database that is gone, damaged, foreign or locked -------------------------------------------


def truncated(path: Path, size: int) -> None:
    os.truncate(path, size)


def garbage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 3000)


def foreign(path: Path, *statements: str) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def changed(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


DAMAGES = {
    "removed": Path.unlink,
    "emptied": lambda path: truncated(path, 0),
    "truncated to half a header": lambda path: truncated(path, 50),
    "truncated to a page": lambda path: truncated(path, 4096),
    "truncated in a page": lambda path: truncated(path, 9000),
    "garbage": lambda path: path.write_bytes(b"garbage" * 999),
    "garbage in the schema": lambda path: garbage(path, 200),
    "garbage in a table": lambda path: garbage(path, 4096),
    "garbage in all tables": lambda path: (garbage(path, 4096), garbage(path, 8192)),
    "an older format": lambda path: foreign(path, "CREATE TABLE file (model, uid)"),
    "an unknown format": lambda path: foreign(path, "CREATE TABLE whatever (x)"),
    "one table is missing": lambda path: foreign(path, *indexfile._SCHEMA[:1]),
    "a view for a table": lambda path: foreign(
        path, "CREATE VIEW link AS SELECT 1", *indexfile._SCHEMA[:1]
    ),
    "a trigger": lambda path: foreign(
        path,
        *indexfile._SCHEMA,
        "CREATE TRIGGER t AFTER INSERT ON file BEGIN DELETE FROM link; END",
    ),
    "of an earlier boot": lambda path: changed(path, "UPDATE log SET boot = 'earlier'"),
    "another row format": lambda path: foreign(
        path, *(part.replace("WITHOUT ROWID", "") for part in indexfile._SCHEMA)
    ),
}


@pytest.mark.usefixtures("no_longer_racy")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("while_open", [True, False], ids=["open", "closed"])
def test_a_damaged_database_is_made_anew(root, damage, while_open):
    found = caught_up(root)
    if not while_open:
        found.close()
    damage(root / DATABASE)
    write(root, CATS[2], {"carer": [BART]})
    found.catch_up()
    agrees(found, root)
    found.close()
    agrees(caught_up(root), root)
    with contextlib.closing(sqlite3.connect(root / DATABASE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_database_that_is_damaged_after_it_caught_up(root, damage):
    found = caught_up(root)
    damage(root / DATABASE)
    agrees(found, root)


def test_the_runtime_directory_may_be_removed_at_any_time(root):
    found = caught_up(root)
    shutil.rmtree(root / ".filestore")
    agrees(found, root)
    write(root, CATS[2], {"carer": [BART]})
    found.catch_up()
    agrees(found, root)
    assert (root / DATABASE).exists()


def test_a_database_that_another_process_made_anew_is_joined(root):
    found = caught_up(root)
    shutil.rmtree(root / ".filestore")
    other = caught_up(root)
    write(root, CATS[2], {"carer": [BART]})
    found.catch_up()
    agrees(found, root)
    assert other.incoming([BART])[BART] == [(CATS[1], "carer"), (CATS[2], "carer")]  # one database


@pytest.mark.parametrize(
    "kind", ["directory", "link", "dangling link", "fifo", "runtime is a file"]
)
def test_what_is_no_database_is_left_alone(root, tmp_path, kind):
    outside = tmp_path / "outside"
    path = root / DATABASE
    if kind == "runtime is a file":
        path.parent.write_text("mine")
    else:
        path.parent.mkdir()
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind.endswith("link"):
        path.symlink_to(outside)
        if kind == "link":
            outside.write_bytes(b"")
    agrees(caught_up(root), root)
    if kind == "link":
        assert outside.read_bytes() == b""
    else:
        assert not outside.exists()


def test_a_runtime_directory_that_becomes_a_link_is_not_followed(root, tmp_path):
    found = caught_up(root)
    outside = tmp_path / "outside"
    (root / ".filestore").rename(outside)
    (root / ".filestore").symlink_to(outside)
    before = (outside / "index.sqlite").stat()
    write(root, CATS[2], {"carer": [BART]})
    for one in (found, open_index(root)):
        one.catch_up()
        agrees(one, root)
    after = (outside / "index.sqlite").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.test_index import agrees, caught_up
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
root = Path(sys.argv[1])
for _ in range(2):
    agrees(caught_up(root), root)
print("done")
"""


@pytest.mark.parametrize("room", [0, 512, 4096, 20_000])
def test_a_disk_without_room_for_the_index(root, room):
    for number in range(300):
        write(root, Key("Cat", f"number-{number}"), {"carer": [LISA]})
    done = subprocess.run(
        [sys.executable, "-c", FULL, root, str(room)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    agrees(caught_up(root), root)


@contextlib.contextmanager
def locked(root: Path):
    """Another connection holds the database."""
    with contextlib.closing(sqlite3.connect(root / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexfile, "_BUSY_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_done_without(root):
    found = caught_up(root)
    inode = (root / DATABASE).stat().st_ino
    with locked(root):
        agrees(found, root)
        write(root, CATS[2], {"carer": [BART]})
        found.catch_up()
        agrees(found, root)
        agrees(caught_up(root), root)
    write(root, CATS[1], {"carer": []})
    for one in (found, open_index(root)):
        one.catch_up()
        agrees(one, root)
    assert (root / DATABASE).stat().st_ino == inode


@pytest.mark.usefixtures("impatient")
def test_a_database_that_others_only_read_is_done_without(root):
    found = caught_up(root)
    with contextlib.closing(sqlite3.connect(root / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM link").fetchone()
        write(root, CATS[2], {"carer": [BART]})
        found.catch_up()
        agrees(found, root)


READ_ONLY = """
import os, sys
from pathlib import Path
from tests.test_index import BART, CATS, agrees, caught_up, open_index
root = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    (root / "x").touch()
except PermissionError:
    agrees(caught_up(root), root)
    print("done")
"""


@pytest.mark.parametrize("indexed", ["never", "before", "up to date"])
def test_a_read_only_directory(indexed):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "data")
        write(root, CATS[0], {"carer": [LISA]})
        if indexed != "never":
            time.sleep(0.03)
            caught_up(root).close()
        if indexed == "before":
            write(root, CATS[1], {"carer": [BART]})
        Path(directory).chmod(0o755)
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = sorted(root.rglob("*"))
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, root],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
        assert sorted(root.rglob("*")) == before
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)


# -- several at once -------------------------------------------------------------------------------


def test_it_is_shared_by_threads(root):
    found = open_index(root)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(20):
                found.catch_up()
                assert (CATS[1], "carer") in found.incoming([BART])[BART]
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(40):
        write(root, Key("Cat", f"{number % 5}"), {"carer": [(LISA, BART)[number % 2]]})
    for thread in threads:
        thread.join(60)
    assert failures == []
    found.catch_up()
    agrees(found, root)


def test_older_knowledge_never_takes_the_place_of_newer(root, monkeypatch):
    """One that looked before an edit and writes after another one has indexed that edit."""
    slow, quick = caught_up(root), caught_up(root)
    edits = [
        (CATS[2], None, {"carer": [BART]}),  # looked: not there
        (CATS[0], {"carer": [LISA]}, {"carer": [BART]}),
        (CATS[1], {"carer": [LISA]}, None),
    ]
    looked = changes.look

    def look_early(*arguments, **options):
        monkeypatch.undo()
        found = looked(*arguments, **options)
        found.named.extend((key.model, f"{key.uid}.rels.json") for key in CATS)
        for key, _, after in edits:
            edit(root, "delete" if after is None else "write", key, after)
        quick.catch_up()
        agrees(quick, root)
        return found

    for key, before, _ in edits:
        edit(root, "delete" if before is None else "write", key, before)
    monkeypatch.setattr(changes, "look", look_early)
    slow.catch_up()
    agrees(quick, root)
    agrees(slow, root)


@pytest.mark.usefixtures("no_longer_racy")
def test_what_another_one_has_read_meanwhile_is_not_read_again(root, monkeypatch):
    slow, quick = open_index(root), open_index(root)
    compare = changes.differing

    def compare_early(*arguments):
        found = list(compare(*arguments))
        with monkeypatch.context() as patch:
            patch.setattr(changes, "differing", compare)
            quick.catch_up()
        monkeypatch.setattr(Files, "read", None)
        return found

    monkeypatch.setattr(changes, "differing", compare_early)
    slow.catch_up()
    agrees(slow, root)


def test_two_that_make_the_database_at_once_make_one(root, monkeypatch):
    """The slower one found no tables, but they are there when it has the lock."""
    other = caught_up(root)
    inode = (root / DATABASE).stat().st_ino
    schema_of, looks = indexfile._schema_of, [[]]
    monkeypatch.setattr(
        indexfile, "_schema_of", lambda connection: looks.pop() if looks else schema_of(connection)
    )
    agrees(caught_up(root), root)
    assert looks == []
    assert (root / DATABASE).stat().st_ino == inode
    agrees(other, root)


BUSY = """
import sys, time
from pathlib import Path
from filestore.disk.layout import Key
from tests.test_index import BART, agrees, open_index, write
root, name = Path(sys.argv[1]), sys.argv[2]
found = open_index(root)
own = Key("Cat", name)
deadline = time.monotonic() + 2
while time.monotonic() < deadline:
    for links in ({"carer": [BART]}, {"carer": []}, None):
        if links is None:
            (root / own.links).unlink()
        else:
            write(root, own, links, in_place=True)
        found.catch_up()
        expected = bool(links and links["carer"])
        assert ((own, "carer") in found.incoming([BART])[BART]) is expected, links
print("done")
"""


def test_processes_share_one_database(root):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY, root, f"process-{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, output) == (0, "done\n"), errors
    agrees(caught_up(root), root)


def in_child(work) -> int:
    """Run `work` in a forked child; the status it ends with, which is 0 if all went well."""
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(20)
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_has_an_index_of_its_own(root):
    found = caught_up(root)

    def work() -> None:
        agrees(found, root)
        write(root, CATS[2], {"carer": [BART]})
        found.catch_up()
        agrees(found, root)
        assert len(opened(root)) == 2  # the parent's connection, untouched, and its own
        found.close()
        assert len(opened(root)) == 1

    assert in_child(work) == 0
    found.catch_up()
    agrees(found, root)
    assert (CATS[2], "carer") in found.incoming([BART])[BART]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_while_another_thread_catches_up(root, monkeypatch):
    found = caught_up(root)
    learning, forked = threading.Event(), threading.Event()
    learn = index.learn

    def learn_slowly(*arguments):
        learn(*arguments)
        learning.set()
        forked.wait(20)

    write(root, CATS[2], {"carer": [BART]})
    monkeypatch.setattr(index, "learn", learn_slowly)
    thread = threading.Thread(target=found.catch_up)
    thread.start()
    learning.wait(20)

    def work() -> None:
        monkeypatch.undo()
        monkeypatch.setattr(indexfile, "_BUSY_SECONDS", 0.05)
        found.catch_up()  # the parent holds the lock, and the database
        agrees(found, root)

    status = in_child(work)
    forked.set()
    thread.join(20)
    assert status == 0
    agrees(found, root)
    with contextlib.closing(sqlite3.connect(root / DATABASE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_it_leaves_no_descriptor_open(root):
    found = caught_up(root)
    assert opened(root) == [str(root / DATABASE)]
    found.close()
    assert opened(root) == []
    agrees(found, root)
    del found
    gc.collect()
    assert opened(root) == []


QUESTIONS = {
    "incoming": lambda found: found.incoming([LISA]),
    "files_of": lambda found: found.files_of([LISA]),
    "unreadable": lambda found: found.unreadable(),
    "sources": lambda found: found.sources("Cat", "carer", ["lisa"]),
    "targets": lambda found: found.targets("Human", "carer", "Cat", ["aa"]),
    "having": lambda found: found.having("Cat", "age", [(Kind.INTEGER, 3, 3)]),
    "copies": lambda found: found.copies("Cat", ["aa"]),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_over_all_files(root: Path, name: str) -> None:
    found = open_index(root)
    found.catch_up()
    connection = found._file.connection
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    QUESTIONS[name](found)
    connection.set_trace_callback(None)
    assert asked
    steps = [
        step for query in asked for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {query}")
    ]
    walks = re.compile(r"SCAN (file|link|property)\b|SEARCH file .*\(model=\?\)$")
    # What cannot be read is in an index of its own, which is empty most of the time.
    assert [step for step in steps if walks.match(step) and "file_unreadable" not in step] == []

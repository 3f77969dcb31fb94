"""`filestore.json`: the same directory is the same store, in every process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from filestore import FileStore
from filestore.disk import layout
from filestore.disk.files import Files
from filestore.disk.manifest import Manifest, open_directory
from filestore.errors import (
    CorruptFileError,
    MergeConflictError,
    StoreFormatError,
    UnsupportedValueError,
)

UID = UUID("5f0c8c0e-7a51-4a08-9b3a-0f6f7c1d2e3f")
OTHER = UUID("00000000-0000-4000-8000-000000000000")


def opened(root: Path, **options: object) -> Manifest:
    chosen = {"uid": None, "name": None, "default_name": "FileStore", "read_only": False}
    return open_directory(str(root), **{**chosen, **options})


def contents(root: Path) -> dict[str, bytes]:
    """Every file that is not runtime state."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and layout.RUNTIME not in path.parts
    }


def write(root: Path, text: str) -> Path:
    root.mkdir(exist_ok=True)
    path = root / layout.MANIFEST
    path.write_text(text)
    return path


def recorded(root: Path) -> dict[str, object]:
    return json.loads((root / layout.MANIFEST).read_text())


def test_a_new_store(data):
    found = opened(data / "deep" / "down", uid=UID)
    assert found == Manifest(UID, "FileStore")
    assert contents(data / "deep/down") == {
        "filestore.json": (
            b"{\n"
            b'  "format": 1,\n'
            b'  "name": "FileStore",\n'
            b'  "uid": "5f0c8c0e-7a51-4a08-9b3a-0f6f7c1d2e3f"\n'
            b"}\n"
        ),
        ".gitattributes": b"*.json text eol=lf\n*.jsonl text eol=lf\n",
    }
    assert (data / "deep/down/.filestore/.gitignore").read_text() == "*\n"


def test_the_same_directory_is_the_same_store(data):
    first = opened(data)
    assert first.uid.version == 4
    before = contents(data)
    assert opened(data) == first
    assert opened(data, uid=first.uid, read_only=True) == first
    assert contents(data) == before
    assert opened(data.parent / "other").uid != first.uid


def test_no_temporary_is_left(data):
    opened(data)
    opened(data, name="Zoo")
    assert list((data / layout.TEMPORARY).iterdir()) == []


def test_another_uid_than_the_recorded_one(data):
    opened(data, uid=UID)
    before = contents(data)
    for read_only in (False, True):
        with pytest.raises(StoreFormatError, match="open it without a uid") as caught:
            opened(data, uid=OTHER, read_only=read_only)
        assert caught.value.path == data / "filestore.json"
        assert str(UID) in str(caught.value)
        assert str(OTHER) in str(caught.value)
    with pytest.raises(StoreFormatError):
        FileStore(data, uid=OTHER)
    assert contents(data) == before


def test_a_name_is_kept_until_another_is_given(data):
    assert opened(data, name="Zoo", uid=UID) == Manifest(UID, "Zoo")
    assert opened(data) == Manifest(UID, "Zoo")
    assert opened(data, name="Ark").name == "Ark"
    assert recorded(data) == {"format": 1, "name": "Ark", "uid": str(UID)}
    assert opened(data, name="", default_name="Other").name == ""
    assert opened(data).name == ""
    assert opened(data.parent / "other", name="").name == ""


def test_a_name_that_is_the_recorded_one_writes_nothing(data):
    opened(data, name="Zoo")
    before = (data / layout.MANIFEST).stat()
    opened(data, name="Zoo")
    after = (data / layout.MANIFEST).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_read_only_store_takes_a_name_without_writing_it(data):
    opened(data, name="Zoo")
    before = contents(data)
    assert opened(data, name="Ark", read_only=True).name == "Ark"
    assert contents(data) == before


@pytest.mark.parametrize("name", [5, b"Zoo", ["Zoo"], "\ud800"], ids=ascii)
def test_a_name_that_is_no_text_is_refused_before_anything_is_written(data, name):
    with pytest.raises(UnsupportedValueError):
        opened(data, name=name)
    assert not (data / layout.MANIFEST).exists()
    before = (opened(data), contents(data))
    with pytest.raises(UnsupportedValueError):
        opened(data, name=name)
    assert (opened(data), contents(data)) == before


# -- without a manifest ----------------------------------------------------------------------------


def test_a_read_only_directory_without_a_manifest_has_a_uid_that_follows_from_its_path(data):
    data.mkdir()
    found = opened(data, read_only=True)
    assert found.uid.version == 4
    assert found.name == "FileStore"
    assert list(data.iterdir()) == []
    (data.parent / "link").symlink_to(data)
    ways = [data, data / ".", data / ".." / "data", data.parent / "link", os.path.relpath(data)]
    assert {opened(way, read_only=True).uid for way in ways} == {found.uid}
    (data.parent / "other").mkdir()
    assert opened(data.parent / "other", read_only=True).uid != found.uid
    assert opened(data, read_only=True, uid=UID, name="Zoo") == Manifest(UID, "Zoo")
    assert opened(data, read_only=True, name="").name == ""


def test_that_uid_is_the_same_in_another_process(data):
    data.mkdir()
    program = "import filestore, sys; print(filestore.FileStore(sys.argv[1], read_only=True).uid)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program, data],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=environment,
    )
    assert done.stdout.strip() == str(FileStore(data, read_only=True).uid)


def test_a_directory_name_that_is_no_unicode(tmp_path):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    root.mkdir()
    assert opened(root, read_only=True).uid == opened(root, read_only=True).uid
    assert opened(root).uid == opened(root).uid


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_no_directory(tmp_path, read_only):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(StoreFormatError, match="is no directory: give the path") as caught:
            opened(tmp_path / name, read_only=read_only)
        assert caught.value.path == tmp_path / name
    assert not (tmp_path / "nowhere").exists()


def test_a_read_only_store_makes_no_directory(data):
    with pytest.raises(StoreFormatError, match="is no directory"):
        opened(data, read_only=True)
    assert not data.exists()


# -- two at once -----------------------------------------------------------------------------------

RACE = """
import sys, time
from filestore.disk.manifest import open_directory
root, start = sys.argv[1], float(sys.argv[2])
while time.time() < start:
    pass
for number in range(20):
    path = f"{root}/{number}/data"
    print(open_directory(path, uid=None, name=None, default_name="x", read_only=False).uid)
"""


def test_processes_that_make_a_store_at_the_same_time_make_one(tmp_path):
    start = str(time.time() + 1.5)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, tmp_path, start],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outputs.append(output.split())
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0] == [recorded(tmp_path / f"{n}/data")["uid"] for n in range(20)]


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_the_directory_appears_while_it_is_made(data, monkeypatch, looks):
    """Another process makes it after this one looked for it once, twice, ..."""
    isdir, seen = os.path.isdir, []

    def late(path):
        seen.append(path)
        result = isdir(path)
        if len(seen) == looks:
            data.mkdir(exist_ok=True)
        return result

    monkeypatch.setattr(os.path, "isdir", late)
    assert opened(data, uid=UID).uid == UID


def test_the_manifest_of_the_faster_process_holds(data, monkeypatch):
    create = Files.create

    def overtaken(self, name, content, **options):
        if name == layout.MANIFEST:
            monkeypatch.undo()
            opened(data, uid=UID, name="Fast")
        return create(self, name, content, **options)

    monkeypatch.setattr(Files, "create", overtaken)
    assert opened(data) == Manifest(UID, "Fast")
    assert recorded(data)["uid"] == str(UID)


def test_a_chosen_uid_loses_against_the_faster_process(data, monkeypatch):
    create = Files.create

    def overtaken(self, name, content, **options):
        monkeypatch.undo()
        opened(data, uid=UID)
        return create(self, name, content, **options)

    monkeypatch.setattr(Files, "create", overtaken)
    with pytest.raises(StoreFormatError, match=str(UID)):
        opened(data, uid=OTHER)


# -- other people's files --------------------------------------------------------------------------


def test_files_that_are_there_are_left_alone(data):
    data.mkdir()
    (data / ".gitattributes").write_text("*.json binary\n")
    (data / "README.md").write_text("mine")
    opened(data)
    opened(data, name="Zoo")
    assert (data / ".gitattributes").read_text() == "*.json binary\n"
    assert (data / "README.md").read_text() == "mine"


def test_removed_attributes_do_not_come_back(data):
    opened(data)
    (data / ".gitattributes").unlink()
    opened(data)
    opened(data, name="Zoo")
    assert not (data / ".gitattributes").exists()


# -- formats and damages ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 3, 10**30])
def test_a_format_from_the_future(data, number):
    path = write(data, json.dumps({"format": number, "something": "new"}))
    before = contents(data)
    for read_only in (False, True):
        with pytest.raises(StoreFormatError, match="upgrade constelite-filestore") as caught:
            opened(data, read_only=read_only)
        assert caught.value.path == path
        assert f"format {number}" in str(caught.value)
        assert "up to 1" in str(caught.value)
    assert contents(data) == before


GOOD = {"format": 1, "name": "Zoo", "uid": str(UID)}
DAMAGED = {
    "empty": ("", 1, "is empty"),
    "NUL bytes": ("\0\0\0\0", 1, "NUL bytes"),
    "truncated": ('{\n  "format": 1,\n  "na', 3, "no valid JSON"),
    "list": ("[]", 1, "holds a list"),
    "a key twice": ('{"format": 1,\n"format": 1}', 2, "second time"),
    "nothing": ("{}", None, "'format' must be 1"),
    "no format": (json.dumps({**GOOD, "format": None}, indent=0), 2, "'format' must be 1"),
    "old format": (json.dumps({**GOOD, "format": 0}, indent=0), 2, "'format' must be 1"),
    "text format": (json.dumps({**GOOD, "format": "1"}, indent=0), 2, "'format' must be 1"),
    "float format": (json.dumps({**GOOD, "format": 1.0}, indent=0), 2, "'format' must be 1"),
    "true format": (json.dumps({**GOOD, "format": True}, indent=0), 2, "'format' must be 1"),
    "no uid": (json.dumps({"format": 1, "name": "Zoo"}), None, "'uid' must be a UUID4"),
    "number uid": (json.dumps({**GOOD, "uid": 5}, indent=0), 4, "'uid' must be a UUID4"),
    "bad uid": (json.dumps({**GOOD, "uid": "x"}, indent=0), 4, "'uid' must be a UUID4"),
    "UUID1": (
        json.dumps({**GOOD, "uid": "c232ab00-9414-11ec-b3c8-9f6bdeced846"}, indent=0),
        4,
        "'uid' must be a UUID4",
    ),
    "no name": (json.dumps({"format": 1, "uid": str(UID)}), None, "'name' must be a text"),
    "null name": (json.dumps({**GOOD, "name": None}, indent=0), 3, "'name' must be a text"),
}


@pytest.mark.parametrize(("text", "line", "reason"), DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_manifest(data, text, line, reason, read_only):
    path = write(data, text)
    before = contents(data)
    with pytest.raises(CorruptFileError, match=reason) as caught:
        opened(data, read_only=read_only, name="New")
    where = f"{path}, line {line}: " if line else f"{path}: "
    assert str(caught.value).startswith(where)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert contents(data) == before


def test_a_manifest_in_the_middle_of_a_merge(data):
    write(data, '{\n  "format": 1,\n<<<<<<< a\n  "name": "x"\n=======\n  "name": "y"\n>>>>>>> b\n}')
    with pytest.raises(MergeConflictError) as caught:
        opened(data)
    assert caught.value.line == 3


@pytest.mark.parametrize("kind", ["directory", "link", "fifo"])
def test_what_is_no_manifest(data, kind):
    data.mkdir()
    path, outside = data / layout.MANIFEST, data.parent / "outside"
    outside.write_text(json.dumps(GOOD))
    {"directory": Path.mkdir, "link": lambda p: p.symlink_to(outside), "fifo": os.mkfifo}[kind](
        path
    )
    with pytest.raises(CorruptFileError, match="where a regular file should be"):
        opened(data, name="New")
    assert outside.read_text() == json.dumps(GOOD)


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
@pytest.mark.parametrize("read_only", [True, False])
def test_runtime_state_is_not_kept_elsewhere(data, kind, read_only):
    """A directory from elsewhere may bring a link that leads out of it."""
    data.mkdir()
    runtime, outside = data / layout.RUNTIME, data.parent / "outside"
    if kind == "link":
        outside.mkdir()
    if kind == "file":
        runtime.write_text("mine")
    else:
        runtime.symlink_to(outside)
    with pytest.raises(StoreFormatError, match="remove it, it is made anew") as caught:
        opened(data, read_only=read_only)
    assert caught.value.path == runtime
    assert list(data.iterdir()) == [runtime]
    assert not outside.exists() or not list(outside.iterdir())


@pytest.mark.parametrize("name", [layout.TEMPORARY, layout.TAILS, layout.CONFLICTS])
@pytest.mark.parametrize("read_only", [True, False])
def test_no_part_of_the_runtime_state_is_kept_elsewhere(data, name, read_only):
    opened(data)
    outside = data.parent / "outside"
    outside.mkdir()
    shutil.rmtree(data / name, ignore_errors=True)
    (data / name).symlink_to(outside)
    with pytest.raises(StoreFormatError, match="remove it, it is made anew") as caught:
        opened(data, read_only=read_only)
    assert caught.value.path == data / name


@pytest.mark.parametrize("name", [layout.LOCK, layout.LOG])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("mine")])
@pytest.mark.parametrize("read_only", [True, False])
def test_runtime_files_are_files(data, name, make, read_only):
    opened(data)
    (data / name).unlink(missing_ok=True)
    make(data / name)
    with pytest.raises(StoreFormatError, match="remove it, it is made anew") as caught:
        opened(data, read_only=read_only)
    assert caught.value.path == data / name


def test_a_hand_written_manifest_is_read(data):
    path = write(data, f'{{"uid":"{{{str(UID).upper()}}}" , "name":"Zoo", "format":1, "note":[]}}')
    text = path.read_text()
    assert opened(data) == Manifest(UID, "Zoo")
    assert path.read_text() == text


def test_the_store_shows_what_the_manifest_says(data):
    uid = uuid4()
    store = FileStore(data, uid=uid, name="Zoo")
    assert (store.uid, store.name) == (uid, "Zoo")
    assert (FileStore(data).uid, FileStore(data).name) == (uid, "Zoo")


def test_an_empty_path_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreFormatError, match="is empty: give the path"):
        FileStore("")
    assert list(tmp_path.iterdir()) == []

"""`check` finds and names every damage, and `repair` mends what can be mended, to the byte."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import filestore.repair as module
from filestore import CommitPendingError, FileStore, ReadOnlyError, StoreFormatError, runtime
from filestore.check import Scan, check
from filestore.database import Database
from filestore.disk import exact, inspection, layout
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.disk.layout import Key
from filestore.disk.lock import WriterLock
from filestore.disk.log import Log, Operation, digest
from filestore.problems import CODES
from filestore.repair import Repairs, repair
from tests.directories import records

if TYPE_CHECKING:
    from collections.abc import Callable

LISA = b'{\n  "model_name": "Human",\n  "name": "Lisa"\n}\n'
TOM = b'{\n  "age": 3,\n  "model_name": "Cat",\n  "name": "Tom"\n}\n'
LINKS = b'{\n  "carer": [\n    "Human/lisa"\n  ]\n}\n'
WEIGHT = b'{"timestamp":0.0,"value":4.1}\n{"timestamp":60.0,"value":4.2}\n'
SOUND = {
    "Cat/tom.json": TOM,
    "Cat/tom.rels.json": LINKS,
    "Cat/tom.weight.jsonl": WEIGHT,
    "Human/lisa.json": LISA,
}
MANIFEST = (
    b'{\n  "format": 1,\n  "name": "cats",\n  "uid": "0d9a3c0e-5f0f-4a43-8a1e-0f6f6c2f3a11"\n}\n'
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else finishes an interrupted commit here."""
    monkeypatch.setattr(runtime, "_PATIENCE", 0.1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store without a problem."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "filestore.json").write_bytes(MANIFEST)
    Files(str(root)).make_runtime()
    for name, data in SOUND.items():
        put(root, name, data)
    return root


def put(root: Path, name: str, data: bytes | str) -> None:
    """Write a file, as another program would."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def mend(root: Path, *, dry_run: bool = False) -> Repairs:
    database = Database(str(root), read_only=False, lock_timeout=5)
    return asyncio.run(repair(database, dry_run=dry_run))


def found(root: Path) -> list[str]:
    return [str(problem) for problem in check(str(root))]


def content(root: Path) -> dict[str, bytes]:
    """The record files."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.glob("[A-Z]*/*"))
        if path.is_file() and not path.is_symlink()
    }


class Damage(NamedTuple):
    """A way to damage a store.

    Attributes:
        name: What it is called.
        inflict: Does it.
        problems: What check says then.
        repaired: The files that differ from the sound ones after a repair; None for a file that
            is not there. No value at all: nothing can be repaired.
        removed: What the repair keeps of what it takes away.
    """

    name: str
    inflict: Callable[[Path], object]
    problems: list[str]
    repaired: dict[str, bytes | None] | None = None
    removed: list[dict[str, str]] = []


def writes(name: str, data: bytes | str) -> Callable[[Path], None]:
    return lambda root: put(root, name, data)


def replaces(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def inflict(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).parent.mkdir(exist_ok=True)
        make(root / name)

    return inflict


def listens(path: Path) -> None:
    """Make a socket; its name must be short, so it is made from within the directory."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def moves_model(root: Path) -> None:
    """Let a model directory be a symbolic link to where it is now."""
    (root / "Cat").rename(root.parent / "cats")
    (root / "Cat").symlink_to(root.parent / "cats")


def old(root: Path, name: str, data: bytes) -> None:
    """Write a file that is minutes old."""
    put(root, name, data)
    then = time.time() - 300
    os.utime(root / name, (then, then))


def falsifies_index(root: Path) -> None:
    catch_up(root)
    with sqlite3.connect(root / layout.INDEX) as connection:
        connection.execute("UPDATE link SET uid = 'bart'")
    connection.close()


def reformats_index(root: Path) -> None:
    with sqlite3.connect(root / layout.INDEX) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()


def catch_up(root: Path) -> None:
    time.sleep(0.03)  # an index does not trust files as young as file times are coarse
    files = Files(str(root))
    index = Index(files, Log(files), in_memory=False)
    index.catch_up()
    index.close()


BART = b'{\n  "model_name": "Human",\n  "name": "Bart"\n}\n'


def mtimes(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mtime_ns for name in ("Cat", "Human")}


def interrupts_commit(root: Path) -> None:
    """Leave a commit that is marked committed and applied to none of its two files."""
    log = Log(Files(str(root)))
    moved = LINKS.replace(b"lisa", b"bart")
    operations = [
        Operation("Human/bart.json", None, BART),
        Operation("Cat/tom.rels.json", digest(LINKS), moved),
    ]
    log.commit(log.append(log.open(), operations, mtimes(root)))


CONFLICT = LINKS.replace(b'    "Human/lisa"\n', b"<<<<<<< ours\n=======\n>>>>>>> theirs\n")
CLASH = "which is the same name on many file systems: rename one of them"
EDIT = "is not in canonical form, so the next write of it changes more lines than it must: "
EDIT += "let repair rewrite it"
DIGITS = "has a number with more digits, or larger, than a float keeps: "
DIGITS += "shorten it, or put it in quotes"
MARKERS = "holds the conflict markers of a git merge: resolve the conflict in this file"
LOST = "as a power loss leaves files behind: restore it or delete it"
FORM = "where a regular file should be: move it away"
SUFFIXES = "uid.json, uid.rels.json and uid.property.jsonl"
RELINK = "restore it or delete the link"

DAMAGES = [
    Damage(
        "manifest that is no JSON",
        writes("filestore.json", "{"),
        [
            "filestore.json:1: FS001 is no valid JSON, unexpected end of data: correct it",
        ],
    ),
    Damage(
        "manifest with a wrong uid",
        writes("filestore.json", '{\n "format": 1, "name": "x",\n "uid": "x"}'),
        [
            (
                "filestore.json:3: FS001 'uid' must be a UUID4: "
                "restore the file, or delete it to give the store a new uid"
            ),
        ],
    ),
    Damage(
        "manifest in a merge",
        writes("filestore.json", "{\n<<<<<<< ours\n"),
        [f"filestore.json:2: FS101 {MARKERS}"],
    ),
    Damage(
        "manifest of the future",
        writes("filestore.json", MANIFEST.replace(b"1,", b"99,", 1)),
        [
            (
                "filestore.json:1: FS002 has format 99, and this version of filestore reads up "
                "to 1: upgrade constelite-filestore"
            ),
        ],
    ),
    Damage(
        "manifest that is a directory",
        replaces("filestore.json", Path.mkdir),
        [f"filestore.json:1: FS001 is a directory, {FORM}"],
    ),
    Damage(
        "manifest written by hand",
        writes("filestore.json", MANIFEST.replace(b"\n", b"")),
        ["filestore.json:1: FS003 is not in canonical form: let repair rewrite it"],
        {"filestore.json": MANIFEST},
    ),
    Damage(
        "properties in a merge",
        writes("Cat/tom.json", b"{\n<<<<<<< ours\n" + TOM[2:]),
        [f"Cat/tom.json:2: FS101 {MARKERS}"],
    ),
    Damage(
        "links in a merge",
        writes("Cat/tom.rels.json", CONFLICT),
        [f"Cat/tom.rels.json:3: FS101 {MARKERS}"],
    ),
    Damage(
        "points in a merge",
        writes("Cat/tom.weight.jsonl", b"<<<<<<< ours\n" + WEIGHT),
        [f"Cat/tom.weight.jsonl:1: FS101 {MARKERS}"],
    ),
    Damage(
        "properties that are no JSON",
        writes("Cat/tom.json", b'{\n  "age": ,\n}'),
        [
            (
                "Cat/tom.json:2: FS102 is no valid JSON, unexpected character, "
                "expected a JSON value: correct it"
            )
        ],
    ),
    Damage(
        "properties with a key twice",
        writes("Cat/tom.json", b'{"age": 3,\n "age": 4}'),
        ["Cat/tom.json:2: FS102 has the key 'age' a second time: delete one"],
    ),
    Damage(
        "properties of NUL bytes",
        writes("Cat/tom.json", b"\0" * 9),
        [f"Cat/tom.json:1: FS102 holds nothing but NUL bytes, {LOST}"],
    ),
    Damage(
        "links that are empty",
        writes("Cat/tom.rels.json", b""),
        [f"Cat/tom.rels.json:1: FS102 is empty, {LOST}"],
    ),
    Damage(
        "points that are empty",
        writes("Cat/tom.weight.jsonl", b""),
        [f"Cat/tom.weight.jsonl:1: FS102 is empty, {LOST}"],
    ),
    Damage(
        "properties in Latin-1",
        writes("Cat/tom.json", b'{\n  "name": "M\xe9me"\n}\n'),
        ["Cat/tom.json:2: FS102 is not UTF-8 text: restore it, or save it as UTF-8"],
    ),
    Damage(
        "properties that are a list",
        writes("Cat/tom.json", "[]\n"),
        ["Cat/tom.json:1: FS103 holds a list: it should hold an object {…}"],
    ),
    Damage(
        "links that are no list",
        writes("Cat/tom.rels.json", b'{\n  "carer": "Human/lisa"\n}\n'),
        ["Cat/tom.rels.json:2: FS103 has no list of links for 'carer': correct it"],
    ),
    Damage(
        "a link that is a number",
        writes("Cat/tom.rels.json", b'{\n  "carer": [\n    3,\n    "Human/lisa"\n  ]\n}\n'),
        [
            (
                "Cat/tom.rels.json:2: FS103 has a link that is no text in 'carer': "
                'a link is a text, "Model/uid"'
            ),
        ],
    ),
    Damage(
        "properties written by hand",
        writes("Cat/tom.json", '{"name": "Tom", "model_name": "Cat",\n "age": 3}'),
        [f"Cat/tom.json:1: FS104 {EDIT}"],
        {},
    ),
    Damage(
        "properties with CRLF",
        writes("Cat/tom.json", TOM.replace(b"\n", b"\r\n")),
        [f"Cat/tom.json:1: FS104 {EDIT}"],
        {},
    ),
    Damage(
        "a float as C writes it",
        writes("Cat/tom.json", TOM.replace(b"3", b"0.10000000000000001")),
        [f"Cat/tom.json:2: FS104 {EDIT}"],
        {"Cat/tom.json": TOM.replace(b"3", b"0.1")},
    ),
    Damage(
        "links written by hand",
        writes("Cat/tom.rels.json", '{"carer": ["Human/lisa"]}'),
        [f"Cat/tom.rels.json:1: FS104 {EDIT}"],
        {},
    ),
    Damage(
        "points written by hand",
        writes("Cat/tom.weight.jsonl", WEIGHT[:30] + b'\n{"value": 4.2, "timestamp": 60.0}'),
        [f"Cat/tom.weight.jsonl:2: FS104 {EDIT}"],
        {},
    ),
    Damage(
        "points without the last newline",
        writes("Cat/tom.weight.jsonl", WEIGHT[:-1]),
        [f"Cat/tom.weight.jsonl:2: FS104 {EDIT}"],
        {},
    ),
    Damage(
        "more digits than a float keeps",
        writes("Cat/tom.json", TOM.replace(b"3", b"3.14159265358979323846264338")),
        [f"Cat/tom.json:1: FS105 {DIGITS}"],
    ),
    Damage(
        "a link that is a number with more digits than a float keeps",
        writes("Cat/tom.rels.json", '{\n  "carer": [\n    0.12345678901234567890\n  ]\n}\n'),
        [f"Cat/tom.rels.json:1: FS105 {DIGITS}"],
    ),
    Damage(
        "an integer beyond every float",
        writes("Cat/tom.json", TOM.replace(b"3", b"9" * 400)),
        [
            (
                "Cat/tom.json:2: FS102 is no valid JSON, number is infinity when parsed as double: "
                "correct it"
            ),
        ],
    ),
    Damage(
        "a point with more digits than a float keeps",
        writes("Cat/tom.weight.jsonl", WEIGHT.replace(b"4.2", b"4.20000000000000000000002")),
        [f"Cat/tom.weight.jsonl:1: FS105 {DIGITS}"],
    ),
    Damage(
        "another model's name",
        writes("Cat/tom.json", TOM.replace(b'"Cat"', b'"Dog"')),
        [
            (
                "Cat/tom.json:3: FS106 says model_name 'Dog', but lies in the directory of 'Cat': "
                "move the file or correct the name"
            ),
        ],
    ),
    Damage(
        "lines that are no points",
        writes("Cat/tom.weight.jsonl", b'[]\n{"timestamp":"noon","value":1}\n{"value":1}\n{\n'),
        [
            (
                "Cat/tom.weight.jsonl:1: FS107 is no point of a time series: "
                "correct it to an object with 'timestamp' and 'value' alone"
            ),
            (
                "Cat/tom.weight.jsonl:2: FS107 has a text for 'timestamp': "
                "it should be a number of seconds"
            ),
            (
                "Cat/tom.weight.jsonl:3: FS107 is no point of a time series: "
                "correct it to an object with 'timestamp' and 'value' alone"
            ),
            ("Cat/tom.weight.jsonl:4: FS107 is no valid JSON, unexpected end of data: correct it"),
        ],
    ),
    Damage(
        "links to nowhere",
        writes(
            "Cat/tom.rels.json",
            b'{\n  "carer": [\n    "Human/bart",\n    "Human/lisa"\n  ],\n'
            b'  "vet": [\n    "Human/bart"\n  ]\n}\n',
        ),
        [
            (
                "Cat/tom.rels.json:3: FS201 links in 'carer' to Human/bart, "
                f"and there is no such record: {RELINK}"
            ),
            (
                "Cat/tom.rels.json:7: FS201 links in 'vet' to Human/bart, "
                f"and there is no such record: {RELINK}"
            ),
        ],
        {"Cat/tom.rels.json": LINKS.replace(b"]\n}", b'],\n  "vet": []\n}')},
        [
            {
                "code": "FS201",
                "link": "Human/bart",
                "path": "Cat/tom.rels.json",
                "relationship": "carer",
            },
            {
                "code": "FS201",
                "link": "Human/bart",
                "path": "Cat/tom.rels.json",
                "relationship": "vet",
            },
        ],
    ),
    Damage(
        "a link to nowhere beside what only a person can correct",
        writes("Cat/tom.rels.json", b'{\n  "carer": [\n    "Human/bart",\n    "lisa"\n  ]\n}\n'),
        [
            (
                "Cat/tom.rels.json:3: FS201 links in 'carer' to Human/bart, "
                f"and there is no such record: {RELINK}"
            ),
            (
                "Cat/tom.rels.json:4: FS202 has a wrong link in 'carer': "
                "'lisa' is not the path of a record (Model/uid): correct or delete it"
            ),
        ],
        {"Cat/tom.rels.json": LINKS.replace(b"Human/lisa", b"lisa")},
        [
            {
                "code": "FS201",
                "link": "Human/bart",
                "path": "Cat/tom.rels.json",
                "relationship": "carer",
            }
        ],
    ),
    Damage(
        "a wrong link",
        writes("Cat/tom.rels.json", LINKS.replace(b"Human/lisa", b"../Human/lisa.json")),
        [
            (
                "Cat/tom.rels.json:3: FS202 has a wrong link in 'carer': "
                "'../Human/lisa.json' is not the path of a record (Model/uid): correct or delete it"
            ),
        ],
    ),
    Damage(
        "a repeated link",
        writes("Cat/tom.rels.json", LINKS.replace(b'"\n  ]', b'",\n    "Human/lisa"\n  ]')),
        [
            (
                "Cat/tom.rels.json:4: FS203 has the link Human/lisa in 'carer' a second time: "
                "delete one"
            ),
        ],
        {},
    ),
    Damage(
        "a relationship index without a record",
        writes("Human/bart.rels.json", LINKS),
        [
            (
                "Human/bart.rels.json:1: FS204 is the relationship index of a record that is not "
                "there: restore Human/bart.json, or let repair take it away"
            ),
        ],
        {},
        [{"code": "FS204", "content": LINKS.decode(), "path": "Human/bart.rels.json"}],
    ),
    Damage(
        "a time series without a record",
        writes("Human/bart.mood.jsonl", b"\xff"),
        [
            (
                "Human/bart.mood.jsonl:1: FS205 is the time series of a record that is not there: "
                "restore Human/bart.json, or let repair take it away"
            ),
        ],
        {},
        [{"base64": "/w==", "code": "FS205", "path": "Human/bart.mood.jsonl"}],
    ),
    Damage(
        "a uid in two models",
        writes("Human/tom.json", LISA),
        [
            (
                "Cat/tom.json:1: FS206 has the uid of Human/tom, "
                "and a uid names one record of a store: rename one of them"
            ),
            (
                "Human/tom.json:1: FS206 has the uid of Cat/tom, "
                "and a uid names one record of a store: rename one of them"
            ),
        ],
    ),
    Damage(
        "uids that differ in case",
        writes("Human/LISA.json", LISA),
        [
            f"Human/LISA.json:1: FS207 differs in case alone from lisa, {CLASH}",
            f"Human/lisa.json:1: FS207 differs in case alone from LISA, {CLASH}",
        ],
    ),
    Damage(
        "models that differ in case",
        writes("HUMAN/bart.json", LISA.replace(b"Human", b"HUMAN")),
        [
            f"HUMAN:1: FS207 differs in case alone from Human, {CLASH}",
            f"Human:1: FS207 differs in case alone from HUMAN, {CLASH}",
        ],
    ),
    Damage(
        "a directory for a record",
        replaces("Cat/tom.json", Path.mkdir),
        [f"Cat/tom.json:1: FS301 is a directory, {FORM}"],
    ),
    Damage(
        "a symbolic link for a record",
        replaces("Human/bart.json", lambda path: path.symlink_to("lisa.json")),
        [f"Human/bart.json:1: FS301 is a symbolic link, {FORM}"],
    ),
    Damage(
        "a FIFO for a time series",
        replaces("Cat/tom.weight.jsonl", os.mkfifo),
        [f"Cat/tom.weight.jsonl:1: FS301 is a FIFO, {FORM}"],
    ),
    Damage(
        "a socket for a relationship index",
        replaces("Cat/tom.rels.json", listens),
        [f"Cat/tom.rels.json:1: FS301 is a socket, {FORM}"],
    ),
    Damage(
        "a symbolic link for a model directory",
        moves_model,
        [
            (
                "Cat:1: FS302 is a symbolic link, where the directory of a model should be: "
                "move the records here, FileStore does not follow it"
            ),
        ],
    ),
    Damage(
        "a file whose name is no uid",
        writes("Cat/my cat.json", TOM),
        [
            (
                "Cat/my cat.json:1: FS303 belongs to no record, because its name is none of "
                f"{SUFFIXES}: rename it, or move it out of the model directory"
            ),
        ],
    ),
    Damage(
        "what a killed process was writing",
        lambda root: old(root, ".filestore/tmp/next", TOM),
        [
            (
                ".filestore/tmp/next:1: FS401 is what a killed process was writing: "
                "let repair take it away"
            ),
        ],
        {},
        [{"code": "FS401", "content": TOM.decode(), "path": ".filestore/tmp/next"}],
    ),
    Damage(
        "an index that is no database",
        writes(layout.INDEX, b"no database" * 99),
        [
            (
                ".filestore/index.sqlite:1: FS402 is damaged (file is not a database): "
                "let repair or reindex make it anew"
            ),
        ],
        {},
    ),
    Damage(
        "an index with wrong links",
        falsifies_index,
        [
            (
                ".filestore/index.sqlite:1: FS402 is damaged "
                "(it has other links of Cat/tom than the file): let repair or reindex make it anew"
            ),
        ],
        {},
    ),
    Damage(
        "an interrupted commit",
        interrupts_commit,
        [
            (
                ".filestore/log:1: FS403 holds a commit that was interrupted: "
                "the next write, repair or recover finishes it"
            ),
        ],
        {"Human/bart.json": BART, "Cat/tom.rels.json": LINKS.replace(b"lisa", b"bart")},
    ),
    Damage(
        "a damaged log",
        writes(layout.LOG, b"rubbish"),
        [
            (
                ".filestore/log:1: FS404 is damaged, so a commit that was interrupted cannot be "
                "finished: let repair take it away"
            ),
        ],
        {},
        [{"code": "FS404", "content": "rubbish", "path": ".filestore/log"}],
    ),
    Damage(
        "a kept conflict",
        writes(".filestore/conflicts/7/Cat/tom.json", TOM),
        [
            (
                ".filestore/conflicts/7/Cat/tom.json:1: FS405 is what an interrupted commit would "
                "have written to a file that was edited since: merge it by hand, then delete it"
            ),
        ],
    ),
    Damage(
        "a directory for a log",
        replaces(layout.LOG, Path.mkdir),
        [".filestore/log:1: FS406 is no regular file: remove it, it is made anew"],
    ),
    Damage(
        "symbolic links for directories of runtime state",
        lambda root: [
            replaces(name, lambda path: path.symlink_to(root.parent))(root)
            for name in (layout.CONFLICTS, layout.REMOVED, layout.TAILS)
        ],
        [
            f"{name}:1: FS406 is no directory of its own: move it away"
            for name in (layout.CONFLICTS, layout.REMOVED, layout.TAILS)
        ],
    ),
    Damage(
        "a symbolic link for an index",
        replaces(layout.INDEX, lambda path: path.symlink_to("elsewhere")),
        [".filestore/index.sqlite:1: FS406 is no regular file: remove it, it is made anew"],
    ),
]
EACH = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)


# -- every damage ----------------------------------------------------------------------------------


def test_sound_store_has_no_problem(root: Path) -> None:
    catch_up(root)

    assert found(root) == []
    assert mend(root) == Repairs([], [], None)


@EACH
def test_damage_is_found_and_named(root: Path, damage: Damage) -> None:
    damage.inflict(root)
    before = records(root)

    assert found(root) == damage.problems
    assert records(root) == before


@EACH
def test_damage_is_repaired_to_the_byte_or_left_alone(root: Path, damage: Damage) -> None:
    damage.inflict(root)
    damaged = records(root)
    planned = mend(root, dry_run=True)
    assert records(root) == damaged
    assert planned.kept is None

    done = mend(root)

    assert [str(problem) for problem in (*done.repaired, *done.left)] == damage.problems or {
        str(problem) for problem in done.repaired
    } < set(damage.problems)
    assert done.repaired == planned.repaired
    if damage.repaired is None:
        assert done.repaired == []
        assert records(root) == damaged
        return
    assert done.repaired
    assert found(root) == [str(problem) for problem in done.left]
    expected = {**SOUND, "filestore.json": MANIFEST, **damage.repaired}
    actual = {**content(root), "filestore.json": (root / "filestore.json").read_bytes()}
    assert actual == expected
    kept = done.kept.read_text().splitlines() if done.kept is not None else []
    assert [json.loads(line) for line in kept] == damage.removed


def test_every_code_has_a_damage() -> None:
    tested = {line.split(": ")[1].split()[0] for d in DAMAGES for line in d.problems}

    assert tested >= CODES.keys() - {"FS304"}  # below: it needs a user who may not read everything


def test_every_code_is_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "check.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| FS")]

    assert [row.split()[1] for row in rows] == [*CODES]
    assert {row.split()[1] for row in rows if not row.endswith("| no |")} == {
        problem.split(": ")[1].split()[0]
        for d in DAMAGES
        if d.repaired is not None
        for problem in d.problems
    } - {"FS202"}


@pytest.mark.parametrize("name", ["Cat/tom.json", "filestore.json"])
def test_file_without_permission(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(files: Files, wanted: str) -> bytes | None:
        if wanted == name:
            raise PermissionError(13, "Permission denied")
        return real(files, wanted)

    real = Files.read
    monkeypatch.setattr(Files, "read", read)

    text = "FS304 cannot be read (Permission denied): correct its permissions"
    assert found(root) == [f"{name}:1: {text}"]


def test_directory_without_permission(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(files: Files, model: str) -> list[str]:
        if model == "Cat":
            raise PermissionError(13, "Permission denied")
        return real(files, model)

    real = Files.names
    monkeypatch.setattr(Files, "names", names)

    assert found(root) == [
        "Cat:1: FS304 cannot be read (Permission denied): correct its permissions"
    ]


def test_all_damages_of_record_files_at_once(root: Path) -> None:
    put(root, "Cat/a.json", "[]")
    put(root, "Cat/b.json", "{}")
    put(root, "Cat/tom.weight.jsonl", "[]\n")
    put(root, "Human/x.rels.json", "{}")

    assert [text.split(" ")[1] for text in found(root)] == ["FS103", "FS104", "FS107", "FS204"]


NAMES = [*SOUND, "Cat/kim.json", "Cat/kim.rels.json", "Cat/kim.weight.jsonl", "filestore.json"]
TEXTS = [
    b"",
    b"\0\0",
    b"{}",
    b"[]\n",
    b'{"carer": ["Human/x", "Human/lisa", "Human/lisa", 1, "x"], "a": 2}',
    b'{"value": 1, "timestamp": 2}\n\n',
    b'{"a": 1.00000000000000000000000001}',
    b'{"model_name": "Dog", "x": [1e2, {"b": 1, "a": null}]}',
    *SOUND.values(),
]
edits = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.none()
        | st.sampled_from(TEXTS)
        | st.binary(max_size=20)
        | st.tuples(st.integers(0, 60), st.binary(max_size=2)),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(edits)
def test_whatever_happened_is_found_and_mended_once(
    tmp_path_factory: pytest.TempPathFactory,
    edits: list[tuple[str, bytes | tuple[int, bytes] | None]],
) -> None:
    """Nothing that could be read says anything else after a repair, but for links that go."""
    root = tmp_path_factory.mktemp("store")
    for name, data in {**SOUND, "filestore.json": MANIFEST}.items():
        put(root, name, data)
    for name, edit in edits:
        data = (root / name).read_bytes() if (root / name).exists() else b""
        if edit is None:
            (root / name).unlink(missing_ok=True)
        elif isinstance(edit, bytes):
            put(root, name, edit)
        else:
            at, inserted = edit
            put(root, name, data[:at] + inserted + data[at + 1 :])
    before = content(root)

    problems = check(str(root))
    done = mend(root)

    assert [p for p in problems if p.repairable] == done.repaired
    assert not any(problem.repairable for problem in done.left)
    assert check(str(root)) == done.left
    again = content(root)
    assert mend(root) == Repairs([], done.left, None)
    assert content(root) == again
    taken = {name for name in before if name not in again}
    assert taken == {p.path for p in problems if p.code in ("FS204", "FS205")}
    kept = done.kept.read_text() if done.kept is not None else ""
    for name, data in before.items():
        if name in taken:
            assert name in kept
        elif again[name] != data and not name.endswith(".rels.json"):
            assert exact.is_same(data, again[name])


# -- what is no problem ----------------------------------------------------------------------------


def test_other_files_are_left_alone(root: Path) -> None:
    put(root, "README.md", "# Cats")
    put(root, "Cat/README.md", "# Cats")
    put(root, "Cat/.tom.json.swp.json", "")
    put(root, "my-notes/x.json", "no JSON")
    (root / "current").symlink_to("README.md")

    assert found(root) == []


def test_directory_that_was_written_by_hand_is_a_store(tmp_path: Path) -> None:
    put(tmp_path, "Human/lisa.json", '{\n  "name": "Lisa"\n}\n')

    assert found(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["Human"]


def test_index_that_is_out_of_date_is_no_damage(root: Path) -> None:
    catch_up(root)
    put(root, "Cat/tom.rels.json", '{\n  "carer": []\n}\n')
    put(root, "Cat/kim.json", TOM)
    put(root, "Cat/kim.rels.json", LINKS)
    (root / "Human/bart.json").write_bytes(BART)

    assert found(root) == []


def test_index_of_another_format_is_made_anew_when_it_is_needed(root: Path) -> None:
    reformats_index(root)

    assert found(root) == []
    assert inspection.behind(Files(str(root))) is None


def test_index_that_is_empty_or_in_use_is_no_damage(root: Path) -> None:
    put(root, layout.INDEX, b"")
    assert found(root) == []

    (root / layout.INDEX).unlink()
    catch_up(root)
    connection = sqlite3.connect(root / layout.INDEX, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        assert found(root) == []
    finally:
        connection.close()


@pytest.mark.parametrize("at", [0, 5], ids=["header", "cells"])
def test_index_with_a_broken_page_is_damaged(root: Path, at: int) -> None:
    catch_up(root)
    path = root / layout.INDEX
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start + at : start + at + 2] = b"\0\5"
    path.write_bytes(data)

    assert [text.split(" ")[1] for text in found(root)] == ["FS402"]
    assert [problem.code for problem in mend(root).repaired] == ["FS402"]
    assert found(root) == []


def test_index_file_that_is_no_database_is_behind_by_nothing_known(root: Path) -> None:
    put(root, layout.INDEX, b"no database" * 99)

    assert inspection.behind(Files(str(root))) is None


def test_temporary_file_that_is_young_is_no_leftover(root: Path) -> None:
    put(root, ".filestore/tmp/next", TOM)

    assert found(root) == []


def test_commit_that_somebody_finishes_is_no_problem(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupts_commit(root)
    database = Database(str(root), read_only=False, lock_timeout=5)

    async def finish() -> None:
        async with database.begin():
            pass

    monkeypatch.setattr(runtime.time, "sleep", lambda _: asyncio.run(finish()))

    assert found(root) == []


def test_what_is_committed_while_the_check_runs_is_no_problem(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is seen, its target not yet: the check looks again, because there was a commit."""
    database = Database(str(root), read_only=False, lock_timeout=5)
    real = Files.read

    async def commit() -> None:
        async with database.begin() as transaction:
            transaction.put_document(Key("Human", "zoe"), {"name": "Zoe"})
            transaction.put_links(Key("Cat", "tom"), {"carer": [Key("Human", "zoe")]})

    def read(files: Files, name: str) -> bytes | None:
        if name == "Cat/tom.rels.json":
            monkeypatch.setattr(Files, "read", real)
            asyncio.run(commit())
            data = real(files, name)
            assert data is not None
            return data.replace(b"zoe", b"not-yet")
        return real(files, name)

    monkeypatch.setattr(Files, "read", read)

    assert found(root) == []


def test_record_that_a_pending_commit_removes_is_gone(root: Path) -> None:
    log = Log(Files(str(root)))
    operations = [
        Operation(name, digest(data), None) for name, data in SOUND.items() if "tom" in name
    ]
    log.commit(log.append(log.open(), operations, mtimes(root)))

    assert [text.split(" ")[1] for text in found(root)] == ["FS403"]


def test_pending_file_that_is_no_file_any_more_is_reported(root: Path) -> None:
    interrupts_commit(root)
    (root / "Cat/tom.rels.json").unlink()
    (root / "Cat/tom.rels.json").mkdir()

    assert [text.split(" ")[1] for text in found(root)] == ["FS403", "FS301"]


def test_problem_that_stays_while_others_commit_is_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "Cat/tom.json", "[]")
    database = Database(str(root), read_only=False, lock_timeout=5)
    real = Scan._file
    numbers = iter(range(999))

    async def commit() -> None:
        async with database.begin() as transaction:
            transaction.put_document(Key("Human", "lisa"), {"n": next(numbers)})

    def file(scan: Scan, model: str, name: str) -> None:
        real(scan, model, name)
        asyncio.run(commit())

    monkeypatch.setattr(Scan, "_file", file)

    assert [text.split(" ")[1] for text in found(root)] == ["FS103"]


def test_record_that_a_listing_missed_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "Human/lisa.rels.json", "{}\n")
    real = Files.names
    monkeypatch.setattr(
        Files, "names", lambda files, model: [n for n in real(files, model) if n != "lisa.json"]
    )

    assert found(root) == []


# -- the functions ---------------------------------------------------------------------------------


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreFormatError, match="is no directory: give the path"):
        check(str(tmp_path / "nothing"))


def test_runtime_state_that_is_no_directory(root: Path) -> None:
    shutil.rmtree(root / ".filestore")
    put(root, ".filestore", "")
    text = "is no directory of its own, so runtime state would be written elsewhere: "

    assert found(root) == [f".filestore:1: FS002 {text}remove it, it is made anew"]


def test_progress_counts_all_files(root: Path) -> None:
    for number in range(150):
        put(root, f"Human/h{number}.json", LISA)
    calls: list[tuple[int, int]] = []

    check(str(root), lambda done, total: calls.append((done, total)))

    assert calls == [(100, 154), (154, 154)]


def test_edit_between_check_and_repair_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "Cat/tom.json", b'{"age": 0}')
    edits = iter(range(1, 9))

    def scan(path: str, progress: object) -> Scan:
        result = Scan(path)
        put(root, "Cat/tom.json", b'{"age": %d}' % next(edits))
        return result

    monkeypatch.setattr("filestore.repair.scan", scan)
    done = mend(root)

    assert (root / "Cat/tom.json").read_bytes() == b'{"age": 3}'
    assert (done.repaired, [problem.code for problem in done.left]) == ([], ["FS104"])


def test_repair_that_is_interrupted_is_finished_by_the_next(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three files is written when the disk is full."""
    for name in ("a", "b", "c"):
        put(root, f"Cat/{name}.json", b'{"age": 1}')
    put(root, "Cat/d.rels.json", LINKS)
    real = Files.replace

    def replace(files: Files, name: str, data: bytes, **options: Any) -> None:
        if name == "Cat/b.json":
            raise OSError(28, "No space left on device")
        real(files, name, data, **options)

    with monkeypatch.context() as patch, pytest.raises(CommitPendingError):
        patch.setattr(Files, "replace", replace)
        mend(root)

    assert {path.name for path in (root / layout.REMOVED).iterdir()}  # it was kept first
    assert content(root)["Cat/a.json"] == b'{\n  "age": 1\n}\n'
    assert content(root)["Cat/b.json"] == b'{"age": 1}'
    assert [text.split(" ")[1] for text in found(root)] == ["FS403"]
    assert [problem.code for problem in mend(root).repaired] == ["FS403"]
    assert found(root) == []
    mended = {f"Cat/{name}.json": b'{\n  "age": 1\n}\n' for name in ("a", "b", "c")}
    assert content(root) == {**SOUND, **mended}


async def test_repair_that_is_cancelled_keeps_the_lock_to_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "Human/bart.rels.json", LINKS)
    begun, go_on = threading.Event(), threading.Event()
    locked = []
    real = module._keep

    def keep(database: Database, removed: list[dict[str, Any]]) -> Path:
        begun.set()
        go_on.wait(20)
        locked.append(not WriterLock(database.files).try_acquire())
        return real(database, removed)

    monkeypatch.setattr(module, "_keep", keep)
    repairing = asyncio.ensure_future(repair(Database(str(root), read_only=False, lock_timeout=5)))
    await asyncio.to_thread(begun.wait, 20)
    repairing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await repairing

    assert locked == [True]
    assert content(root)["Human/bart.rels.json"] == LINKS
    assert [problem.code for problem in (await wrapped(root)).repaired] == ["FS204"]


async def wrapped(root: Path) -> Repairs:
    return await repair(Database(str(root), read_only=False, lock_timeout=5))


def test_two_repairs_keep_apart_what_they_remove(root: Path) -> None:
    kept = []
    for name in ("a", "b"):
        put(root, f"Human/{name}.rels.json", LINKS)
        kept.append(mend(root).kept)

    assert None not in kept
    assert kept[0] != kept[1]
    assert all(path is not None and path.is_file() for path in kept)


async def test_store_checks_and_repairs(root: Path) -> None:
    store = FileStore(root)
    put(root, "Human/bart.rels.json", LINKS)

    (problem,) = await store.check()
    done = await store.repair(dry_run=True)
    assert (problem.code, problem.repairable) == ("FS204", True)
    assert done == Repairs([problem], [], None)
    assert (root / "Human/bart.rels.json").exists()

    done = await store.repair()
    assert done.repaired == [problem]
    assert done.kept is not None
    assert done.kept.parent == root / ".filestore/removed"
    assert await store.check() == []
    assert not (root / "Human/bart.rels.json").exists()


async def test_store_is_not_repaired_within_a_transaction(root: Path) -> None:
    store = FileStore(root)

    async with store.transaction():
        with pytest.raises(RuntimeError, match="cannot be repaired within a transaction"):
            await store.repair()
        assert await store.check() == []


async def test_read_only_store_is_checked_and_not_repaired(root: Path) -> None:
    store = FileStore(root, read_only=True)
    put(root, "Human/bart.rels.json", LINKS)
    before = records(root)

    assert [problem.code for problem in await store.check()] == ["FS204"]
    with pytest.raises(ReadOnlyError):
        await store.repair()
    assert records(root) == before


def test_same_says_what_floats_keep() -> None:
    assert exact.is_same(b'{"a": 1.10}', b'{"a":1.1}')
    assert exact.is_same(b'{"b": 1, "a": [true]}\n', b'{"a":[true],"b":1}')
    assert not exact.is_same(b'{"a": 1e400}', b'{"a":null}')
    assert not exact.is_same(b'{"a": 0.123456789012345678901}', b'{"a":0.12345678901234568}')
    assert not exact.is_same(b"[1]\n[2]", b"[1]\n")

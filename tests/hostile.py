"""What the tests of hostile input share: a store to attack, and what to attack it with."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from constelite.models import Dynamic, Ref, StateModel, TimePoint, ref

from filestore import FileStore
from filestore.disk import layout
from filestore.errors import FileStoreError
from tests.models import Book, Cat, Food, Human, Page


class Chest(StateModel):
    """Holds anything."""

    content: Any


# -- the store that is attacked --------------------------------------------------------------------


async def populate(root: Path | str) -> None:
    """Good records of several models, all kinds of files, and one cat that will go bad."""
    store = FileStore(root)
    await store.create(Human(name="Lisa"), "lisa")
    await store.create(Human(name="Bart"), "bart")
    await store.create(Food(name="fish"), "fish")
    await store.create(Food(name="milk"), "milk")
    await store.create(Book(title="Cats", pages=[ref(Page(number=1))]), "book")
    for uid in ("flake", "bad", "snowball"):
        await store.create(Cat(name=uid, **members(store)), uid)
    await store.create(Chest(content=1), "chest")
    shutil.rmtree(Path(root, layout.RUNTIME))


def members(store: FileStore) -> dict[str, Any]:
    """What every cat has besides its name."""
    return {
        "age": 3,
        "weight": Dynamic[float](points=[TimePoint[float](timestamp=0, value=4.1)]),
        "carer": [to(store, Human, "lisa")],
        "likes": [to(store, Food, "fish")],
    }


def to(store: FileStore, cls: type[StateModel], uid: str) -> Ref:
    return ref(cls, uid=uid, store=store)


def over(store: FileStore, uid: str, state: StateModel) -> Ref:
    """A ref that writes a state over a record."""
    return ref(state, uid=uid, store=store)


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a directory: mode, inode, content, a file's mtime; runtime state aside."""
    found = {}
    for path in sorted(root.rglob("*")):
        if layout.RUNTIME in path.parts:
            continue
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(root))] = (
            status.st_mode,
            status.st_ino,
            0 if path.is_dir() else status.st_mtime_ns,
            content,
        )
    return found


async def others_are_well(store: FileStore, *, linked: bool, listed: bool = True) -> None:
    """Every good record can be read, found and reached, whatever is wrong with cat `bad`.

    Args:
        store: The store.
        linked: Whether the links of `bad` can be read.
        listed: Whether there is a record `bad` at all.
    """
    for cls, uid, name in [
        (Cat, "snowball", "snowball"),
        (Cat, "flake", "flake"),
        (Human, "bart", "Bart"),
        (Food, "fish", "fish"),
    ]:
        assert (await store.get(to(store, cls, uid))).state.name == name
    cats = {"snowball", "flake", *(["bad"] if linked and listed else [])}
    lisa = (await store.get(to(store, Human, "lisa"))).state
    assert {cat.uid for cat in lisa.cats} == cats
    for model, number in (("Human", 2), ("Food", 2), ("Book", 1), ("Page", 1)):
        assert len(await store.query(model, include_states=True)) == number
    found = await store.query("Cat", include_states=False)
    assert [cat.uid for cat in found] == [*(["bad"] if listed else []), "flake", "snowball"]


async def raised(awaitable: Any) -> FileStoreError:
    with pytest.raises(FileStoreError) as caught:
        await awaitable
    return caught.value


# -- contents of files -----------------------------------------------------------------------------

MERGE = b'{\n<<<<<<< HEAD\n"name": "a"\n=======\n"name": "b"\n>>>>>>> theirs\n}\n'

ANY_FILE = {
    "empty": b"",
    "one NUL": b"\0",
    "a page of NULs": b"\0" * 4096,
    "NULs behind": b'{"name": "a"}\n\0\0\0\0',
    "NUL in front": b'\0{"name": "a"}',
    "truncated": b'{"name": "a"',
    "truncated in a text": b'{"name": "a',
    "truncated in an escape": b'{"name": "\\u00',
    "truncated in a character": b'{"name": "\xe2\x82',
    "one brace": b"{",
    "one quote": b'"',
    "BOM": b'\xef\xbb\xbf{"name": "a"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "UTF-16 without BOM": '{"name": "a"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "a"}'.encode("utf-32"),
    "Latin-1": b'{"name": "caf\xe9"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf\xc0\xae"}',
    "UTF-8 beyond Unicode": b'{"name": "\xf4\x90\x80\x80"}',
    "encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "lone high surrogate": b'{"name": "\\ud800"}',
    "lone low surrogate": b'{"name": "\\udc00"}',
    "surrogates swapped": b'{"name": "\\udc00\\ud800"}',
    "text behind": b'{"name": "a"} x',
    "two objects": b'{"name": "a"}{"name": "b"}',
    "trailing comma": b'{"name": "a",}',
    "missing comma": b'{"name": "a" "age": 1}',
    "single quotes": b"{'name': 'a'}",
    "bare key": b'{name: "a"}',
    "comment": b'{"name": "a"} // mine',
    "bad escape": b'{"name": "\\x41"}',
    "newline in a text": b'{"name": "a\nb"}',
    "tab in a text": b'{"name": "a\tb"}',
    "no-break space": '{\u00a0"name": "a"}'.encode(),
    "NaN": b'{"age": NaN}',
    "Infinity": b'{"age": -Infinity}',
    "1e999": b'{"age": 1e999}',
    "-1e999": b'{"age": -1e999}',
    "10**400": b'{"age": 1' + b"0" * 400 + b"}",
    "10**5000": b'{"age": 1' + b"0" * 5000 + b"}",
    "hexadecimal": b'{"age": 0x10}',
    "octal": b'{"age": 010}',
    "plus": b'{"age": +1}',
    "underscore": b'{"age": 1_000}',
    "full-width digit": '{"age": \N{FULLWIDTH DIGIT ONE}}'.encode(),
    "Python's None": b'{"age": None}',
    "undefined": b'{"age": undefined}',
    "key twice": b'{"name": "a", "name": "b"}',
    "key twice, equal": b'{"name": "a", "name": "a"}',
    "key twice, spelled differently": b'{"name": "a", "\\u006eame": "b"}',
    "key twice, deep": b'{"name": [{"x": {"y": 1, "y": 2}}]}',
    "255 levels": b'{"name":' + b"[" * 254 + b"]" * 254 + b"}",
    "1,025 levels": b'{"a":' * 1025 + b"1" + b"}" * 1025,
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 levels": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 commas": b"{" + b"," * 100_000,
    "null": b"null",
    "true": b"true",
    "number": b"17",
    "text": b'"a"',
    "list": b'[{"name": "a"}]',
    "merge": MERGE,
    "merge, diff3": MERGE.replace(b"=======", b'||||||| base\n"name": "c"\n======='),
    "merge, CRLF": MERGE.replace(b"\n", b"\r\n"),
    "gzip": gzip.compress(b'{"name": "a"}', mtime=0),
    "pickle": pickle.dumps({"name": "a"}),
    "program": b"\x7fELF\x02\x01\x01" + bytes(range(256)),
    "script": b"#!/bin/sh\nrm -rf /\n",
    "HTML": b"<!DOCTYPE html>\n<html></html>\n",
    "YAML": b"name: a\nage: 1\n",
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\nsize 1\n",
}

# Valid JSON objects that are no Cat.
BAD_RECORDS = {
    "another class": {"model_name": "Human", "name": "a"},
    "an unrelated name": {"model_name": "../../etc/passwd", "name": "a"},
    "no class": {"model_name": None, "name": "a", "age": "x"},
    "class in a list": {"model_name": ["Cat"], "name": "a"},
    "text for a number": {"name": "a", "age": "three"},
    "list for a number": {"name": "a", "age": [1]},
    "object for a number": {"name": "a", "age": {"x": 1}},
    "list for a text": {"name": ["a"]},
    "object for a text": {"name": {"x": 1}},
    "number from 5,000 digits": {"age": {"$int": "9" * 5000}},
    "tag with a wrong content": {"age": {"$int": []}},
    "unknown class in a tag": {"age": {"$model": ["os.system", {"command": "id"}]}},
}

# What a tag may do in a field that takes anything.
BAD_TAGS = {
    "int": {"$int": "x"},
    "int of 5,000 digits": {"$int": "9" * 5000},
    "float": {"$float": "x"},
    "bytes": {"$bytes": "\u00e9"},
    "bytes, no text": {"$bytes": 5},
    "datetime": {"$datetime": "yesterday"},
    "date": {"$date": "2024-02-31"},
    "time": {"$time": "25:00"},
    "timedelta": {"$timedelta": [1e308, 0, 0]},
    "timedelta of nothing": {"$timedelta": "x"},
    "decimal": {"$decimal": "x"},
    "uuid": {"$uuid": "x"},
    "path": {"$path": 5},
    "tuple": {"$tuple": 5},
    "set of lists": {"$set": [[1]]},
    "frozenset of objects": {"$frozenset": [{}]},
    "dict": {"$dict": [[1]]},
    "dict with a list for a key": {"$dict": [[[1], 2]]},
    "model": {"$model": 5},
    "model without a class": {"$model": ["Nothing", {}]},
    "model of a builtin": {"$model": ["int", {}]},
    "model without its properties": {"$model": ["Human", {}]},
    "nested": {"a": [{"b": {"$uuid": "x"}}]},
}

BAD_LINKS = {
    "null": {"carer": None},
    "text": {"carer": "Human/lisa"},
    "number": {"carer": 1},
    "object": {"carer": {"Human/lisa": 1}},
    "list in a list": {"carer": [["Human/lisa"]]},
    "object in a list": {"carer": [{"uid": "lisa"}]},
    "null in a list": {"carer": ["Human/lisa", None]},
    "of a relationship that is not declared": {"unknown": [1]},
    "uid alone": {"carer": ["lisa"]},
    "empty": {"carer": [""]},
    "up": {"carer": ["../Human/lisa"]},
    "up and up": {"carer": ["../../../../etc/passwd"]},
    "up from a model": {"carer": ["Human/../../x"]},
    "here": {"carer": ["./lisa"]},
    "absolute": {"carer": ["/etc/passwd"]},
    "URL": {"carer": ["file:///etc/passwd"]},
    "backslash": {"carer": ["Human\\lisa"]},
    "drive": {"carer": ["C:\\x"]},
    "with suffix": {"carer": ["Human/lisa.json"]},
    "trailing newline": {"carer": ["Human/lisa\n"]},
    "NUL": {"carer": ["Human/lisa\0"]},
    "look-alike letter": {"carer": ["Human/lis\N{CYRILLIC SMALL LETTER A}"]},
    "look-alike slash": {"carer": ["Human\N{DIVISION SLASH}lisa"]},
    "runtime state": {"carer": [".filestore/lock"]},
    "percent-encoded dots": {"carer": ["%2e%2e/x"]},
    "too long": {"carer": ["Human/" + "x" * 129]},
    "a megabyte": {"carer": ["x" * 1_000_000]},
}

POINT = b'{"timestamp":0.0,"value":4.1}\n'
BAD_SERIES = {
    "torn": POINT + b'{"timestamp":1.0,"val',
    "torn with NULs": POINT + b"\0" * 30,
    "an object over two lines": b'{"timestamp":0.0,\n"value":4.1}\n',
    "newline for a comma": b'{"timestamp":0.0\n"value":4.1},{"timestamp":1.0,"value":4.1}\n',
    "two on a line": POINT.strip() + POINT,
    "two on a line with a comma": POINT.strip() + b"," + POINT,
    "no value": b'{"timestamp":0.0}\n',
    "no timestamp": b'{"value":4.1}\n',
    "another key": b'{"timestamp":0.0,"value":4.1,"unit":"kg"}\n',
    "text for a timestamp": b'{"timestamp":"0","value":4.1}\n',
    "null for a timestamp": b'{"timestamp":null,"value":4.1}\n',
    "boolean for a timestamp": b'{"timestamp":true,"value":4.1}\n',
    "a list of points": b'[{"timestamp":0.0,"value":4.1}]\n',
}

# Points, but not of a series of numbers.
BAD_VALUES = {
    "text for a value": b'{"timestamp":0.0,"value":"heavy"}\n',
    "null for a value": b'{"timestamp":0.0,"value":null}\n',
    "object for a value": b'{"timestamp":0.0,"value":{}}\n',
    "tag for a value": b'{"timestamp":0.0,"value":{"$float":"x"}}\n',
}

# -- names -----------------------------------------------------------------------------------------

BAD_UIDS = [
    "",
    ".",
    "..",
    "../x",
    "../../x",
    "../Human/lisa",
    "../Cat/snowball",
    "../filestore",
    "../.filestore/lock",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "/",
    "x/",
    "/x",
    "a/b",
    "a//b",
    "Cat/snowball",
    "snowball.json",
    "snowball.rels",
    "snowball.weight",
    "snowball.",
    "snowball..",
    "snowball\0",
    "snowball\0.json",
    "\0",
    "snowball\n",
    "\nsnowball",
    "snowball\r",
    "snowball ",
    " snowball",
    "\t",
    ".hidden",
    "~",
    "~root",
    "a\\b",
    "..\\x",
    "C:\\x",
    "C:x",
    "file:///etc/passwd",
    "%2e%2e%2fx",
    "%00",
    "$HOME",
    "$(id)",
    "`id`",
    "a;b",
    "a|b",
    "*",
    "?",
    "[a]",
    "{a}",
    "x" * 129,
    "x" * 300,
    "x" * 100_000,
    "caf\u00e9",
    "\N{FULLWIDTH LATIN SMALL LETTER A}",
    "snowb\N{CYRILLIC SMALL LETTER A}ll",
    "\N{DIGIT ONE}\N{COMBINING ENCLOSING KEYCAP}",
    "\N{SUPERSCRIPT TWO}",
    "\N{LATIN SMALL LIGATURE FI}",
    "snowball\u200b",
    "\u202esnowball",
    "\N{ONE DOT LEADER}\N{ONE DOT LEADER}\N{DIVISION SLASH}x",
    "\ud800",
    "\udcff",
]
BAD_MODELS = [uid for uid in BAD_UIDS if uid != ""] + [
    "Job[int]",
    "cat",
    "CAT",
    "con",
    "NUL",
    "COM1",
    "Any",
    "Ref",
    "StateModel",
    "object",
    "M" * 255,
]

"""The write-ahead log: its bytes, its marks, and what it makes of damage."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest

from filestore.disk import log as log_module
from filestore.disk.files import Files
from filestore.disk.log import NO_LOG, Entry, Log, Marks, Operation, digest

OPERATIONS = [
    Operation("Cat/a.json", None, b'{\n  "name": "\xc3\xa4"\n}\n'),
    Operation("Cat/b.json", digest(b"old"), None),
    Operation("Cat/a.weight.jsonl", None, b'{"timestamp":1.0,"value":2}\n', 30),
]
MTIMES = {"Cat": 7, "Dog": -1}  # a time before 1970 is one as well
AFTER = [8, 9]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(str(tmp_path))
    files.make_runtime()
    return files


@pytest.fixture
def log(files: Files) -> Log:
    return Log(files)


def commit(log: Log, operations: list[Operation] | None = None) -> Marks:
    marks = log.append(log.open(), OPERATIONS if operations is None else operations, MTIMES)
    log.commit(marks)
    log.applied(marks, AFTER)
    return log.marks()


def touched(log: Log, before: Marks, after: Marks) -> set[str] | None:
    entries = log.entries(before, after)
    if entries is None:
        return None
    return {operation.path for entry in entries for operation in entry.operations}


def test_no_log_is_an_empty_one(log: Log) -> None:
    assert log.marks() is NO_LOG
    assert not NO_LOG.pending


def test_an_entry_has_not_happened_before_it_is_committed(log: Log) -> None:
    before = commit(log)
    log.append(log.open(), OPERATIONS, MTIMES)
    assert log.marks() == before


def test_a_committed_entry_is_pending_until_it_is_applied(log: Log) -> None:
    marks = log.append(log.open(), OPERATIONS, MTIMES)
    log.commit(marks)
    assert log.marks().pending
    assert log.pending(log.marks()) == Entry(OPERATIONS, MTIMES, {"Cat": 0, "Dog": 0})
    log.applied(marks)
    assert not log.marks().pending


def test_the_header_is_as_documented(log: Log, tmp_path: Path) -> None:
    first = commit(log)
    second = commit(log)
    data = (tmp_path / ".filestore" / "log").read_bytes()
    assert data[:8] == b"FSLOG\0\0\1"
    mark = (second.committed, len(data), second.committed_checksum)
    assert struct.unpack("<7Q", data[8:64]) == (*mark, *mark, first.committed - 1)
    number, length, checksum = struct.unpack("<QLL", data[64:80])
    assert checksum == first.committed_checksum == zlib.crc32(data[64:76] + data[80 : 80 + length])
    assert (number, 80 + length + 16) == (first.committed, first.committed_end)
    assert data[80 : 80 + length].startswith(b'[[["Cat/a.json",null,"{\\n')
    assert data[80 : 80 + length].endswith(b',[["Cat",7],["Dog",-1]]]')
    assert struct.unpack("<2q", data[80 + length : 96 + length]) == (8, 9)


def test_numbers_grow_by_one_and_beyond_a_lost_log(log: Log, tmp_path: Path) -> None:
    first = commit(log)
    assert commit(log).committed == first.committed + 1
    (tmp_path / ".filestore" / "log").unlink()
    assert log.marks() is NO_LOG
    assert commit(log).committed > first.committed + 1


def test_the_feed_names_the_files_of_the_commits_between(log: Log) -> None:
    start = commit(log)
    assert touched(log, start, start) == set()
    commit(log, [Operation("Cat/x.json", None, b"{}\n")])
    now = commit(log, [Operation("Dog/y.json", None, b"{}\n")])
    assert touched(log, start, now) == {"Cat/x.json", "Dog/y.json"}


def test_the_feed_tells_when_directories_changed(log: Log) -> None:
    start = commit(log)
    commit(log)
    assert log.entries(start, log.marks()) == [Entry(OPERATIONS, MTIMES, {"Cat": 8, "Dog": 9})]
    assert log.marks().settled == log.marks()
    settled = log.marks()
    log.commit(log.append(log.open(), OPERATIONS, MTIMES))
    assert log.marks().settled.committed == settled.committed
    assert log.entries(settled, log.marks().settled) == []


def test_the_feed_does_not_guess(log: Log, tmp_path: Path) -> None:
    start = commit(log)
    (tmp_path / ".filestore" / "log").unlink()
    assert touched(log, start, commit(log)) is None


def test_a_long_log_is_cut_and_says_so(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_LONG", 1000)
    start = commit(log)
    sizes = []
    for _ in range(20):
        now = commit(log)
        sizes.append(os.stat(log._path).st_size)
    assert max(sizes) < 2000
    assert now.committed == start.committed + 20
    assert touched(log, start, now) is None
    before = log.marks()
    assert touched(log, before, commit(log)) in ({o.path for o in OPERATIONS}, None)


def test_a_reader_of_the_moment_before_the_cut_still_follows(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(log)
    before = log.marks()
    monkeypatch.setattr(log_module, "_LONG", 1)
    assert touched(log, before, commit(log, [Operation("A/b.json", None, b"{}\n")])) == {"A/b.json"}


@pytest.mark.parametrize("position", [0, 4, 8, 12, 16, 20, 40])
def test_a_torn_entry_never_happened(log: Log, tmp_path: Path, position: int) -> None:
    start = commit(log)
    marks = log.append(log.open(), OPERATIONS, MTIMES)
    log.commit(marks)
    with open(tmp_path / ".filestore" / "log", "r+b") as file:
        file.seek(start.committed_end + position)
        file.write(b"\xff")
    assert Log(Files(str(tmp_path))).pending(Log(Files(str(tmp_path))).marks()) is None


@pytest.mark.parametrize(
    "damage",
    [b"", b"FSLOG", b"\0" * 64, b"x" * 64, b"FSLOG\0\0\1" + b"\xff" * 56],
    ids=["empty", "short", "zeros", "foreign", "senseless"],
)
def test_a_damaged_log_is_made_anew(log: Log, tmp_path: Path, damage: bytes) -> None:
    start = commit(log)
    (tmp_path / ".filestore" / "log").write_bytes(damage)
    other = Log(Files(str(tmp_path)))
    assert other.marks() is NO_LOG or other.marks() == NO_LOG
    assert commit(other).committed > start.committed


class TestRedo:
    """What a file should hold after a crash."""

    whole = Operation("Cat/a.json", digest(b"before"), b"after")
    new = Operation("Cat/a.json", None, b"after")
    removal = Operation("Cat/a.json", digest(b"before"), None)
    append = Operation("Cat/a.w.jsonl", None, b"678", 5)

    @pytest.mark.parametrize(
        ("operation", "current", "wanted"),
        [
            (whole, b"before", b"after"),
            (whole, b"after", b"after"),
            (whole, b"edited", b"edited"),
            (whole, None, None),
            (new, None, b"after"),
            (new, b"edited", b"edited"),
            (removal, b"before", None),
            (removal, None, None),
            (removal, b"edited", b"edited"),
            (append, b"12345", b"12345678"),
            (append, b"123456", b"12345678"),
            (append, b"12345\0\0\0", b"12345678"),
            (append, b"1234567\0", b"12345678"),
            (append, b"12345678", b"12345678"),
            (append, b"123456789", b"123456789"),
            (append, b"12345x", b"12345x"),
            (append, b"1234", b"1234"),
            (append, None, None),
        ],
    )
    def test_it_is_as_before_or_as_it_should_be_or_stays(
        self, operation: Operation, current: bytes | None, wanted: bytes | None
    ) -> None:
        assert operation.redo(current) == wanted
        assert operation.redo(operation.redo(current)) == wanted
        edited = wanted not in (operation.content, b"12345678", b"123456789")
        assert operation.is_done(wanted) is not edited


@pytest.mark.parametrize(
    "path",
    ["../outside/evil.json", "/etc/passwd", "filestore.json", ".filestore/lock", "Cat/x.txt"],
)
def test_an_entry_that_leads_elsewhere_never_happened(log: Log, tmp_path: Path, path: str) -> None:
    log.commit(log.append(log.open(), [Operation(path, None, b"{}\n")], {}))
    assert log.marks().pending
    assert log.pending(log.marks()) is None


@pytest.mark.parametrize(
    "payload", [b"5", b"[5]", b'[[["a"]],[]]', b"[[[1,2,3,4]],[]]", b"[[],[5]]", b"\xff", b"{}"]
)
def test_an_entry_of_another_shape_never_happened(
    log: Log, payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(log_module.orjson, "dumps", lambda _: payload)
        log.commit(log.append(log.open(), OPERATIONS, MTIMES))
    assert log.marks().pending
    assert not log.pending(log.marks())


def test_a_header_that_promises_more_than_there_is(log: Log, tmp_path: Path) -> None:
    marks = log.append(log.open(), OPERATIONS, MTIMES)
    log.commit(marks._replace(committed_end=1 << 62))
    assert log.pending(log.marks()) is None

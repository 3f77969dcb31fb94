"""Every state that a power loss may leave behind, by the rules of POSIX and nothing more.

A recorder notes what the store asks of the file system. At every moment the disk holds for sure
what was synced before, and of everything later any part: each write whole, in part, as zeros, or
not at all; each change of a directory or not. A file's sync covers its content, a directory's sync
covers the names in it. A sector of 512 bytes is written as it was at some moment, so a later write
to it brings the earlier ones along.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SECTOR = 512


class Event(NamedTuple):
    """Something asked of the file system.

    Attributes:
        kind: "write", "truncate", "link", "rename", "unlink", "mkdir", "sync" or "acknowledged".
        inode: The file or directory concerned.
        name: The path in the data directory, for changes of a directory.
        data: What is written; the length, for a truncation; the old path, for a rename.
        offset: Where it is written.
        directory: The inode of the directory that is changed.
    """

    kind: str
    inode: int = 0
    name: str = ""
    data: Any = None
    offset: int = 0
    directory: int = 0


class Disk:
    """Names and contents, as a power loss might leave them."""

    def __init__(self) -> None:
        self.inodes: dict[str, int] = {}
        self.contents: dict[int, bytes] = {}
        self.directories: set[str] = set()

    def copy(self) -> Disk:
        """The same, to be changed by itself."""
        other = Disk()
        other.inodes, other.contents = dict(self.inodes), dict(self.contents)
        other.directories = set(self.directories)
        return other

    def apply(self, event: Event) -> None:
        """Let an event reach the disk."""
        if event.kind == "write":
            self._write(event.inode, event.data, event.offset)
        elif event.kind == "truncate":
            self.contents[event.inode] = self.contents.get(event.inode, b"")[: event.data]
        elif event.kind == "link":
            self.inodes[event.name] = event.inode
        elif event.kind == "rename":
            self.inodes.pop(event.data, None)
            self.inodes[event.name] = event.inode
        elif event.kind == "unlink":
            self.inodes.pop(event.name, None)
        elif event.kind == "mkdir":
            self.directories.add(event.name)

    def apply_parts(self, pending: list[Event], kept: dict[int, str]) -> None:
        """Let parts reach the disk: "whole", "half", "hole" or "zeros" of each write kept."""
        last: dict[tuple[int, int], int] = {}
        for position, part in kept.items():
            event = pending[position]
            if event.kind != "write":
                self.apply(event)
            elif part == "zeros":
                size = len(self.contents.get(event.inode, b""))
                if event.offset >= size:  # blocks that were never written before
                    self._write(event.inode, bytes(len(event.data)), event.offset)
            else:
                end = event.offset + len(event.data)
                if part == "half":
                    end = max(event.offset, (event.offset + end) // 2 // SECTOR * SECTOR)
                sectors = list(range(event.offset // SECTOR, -(-end // SECTOR)))
                if part == "hole":
                    sectors = [*sectors[:1], *sectors[-1:]]
                for sector in sectors:
                    key = event.inode, sector
                    last[key] = max(position, last.get(key, -1))
        for (inode, sector), newest in sorted(last.items()):
            for event in pending[: newest + 1]:
                if event.kind == "write" and event.inode == inode:
                    start = max(event.offset, sector * SECTOR)
                    end = min(event.offset + len(event.data), (sector + 1) * SECTOR)
                    if start < end:
                        piece = event.data[start - event.offset : end - event.offset]
                        self._write(inode, piece, start)

    def _write(self, inode: int, data: bytes, offset: int) -> None:
        old = self.contents.get(inode, b"").ljust(offset, b"\0")
        self.contents[inode] = old[:offset] + data + old[offset + len(data) :]

    def write_to(self, root: Path) -> None:
        """Make a real directory of it."""
        for directory in sorted(self.directories):
            (root / directory).mkdir(parents=True, exist_ok=True)
        for name, inode in self.inodes.items():
            if (root / name).parent.exists():  # a name in a directory that was lost is lost
                (root / name).write_bytes(self.contents.get(inode, b""))


class Recorder:
    """Notes what is asked of the file system below one root."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[Event] = []
        self.start = Disk()
        self._next = 1
        self._inodes: dict[str, int] = {}
        self._files: dict[int, int] = {}
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            self._inodes[name] = self._new()
            if path.is_dir():
                self.start.directories.add(name)
            elif not name.endswith("index.sqlite"):
                self.start.inodes[name] = self._inodes[name]
                self.start.contents[self._inodes[name]] = path.read_bytes()
        self._inodes[""] = self._inodes["."] = self._new()

    def acknowledge(self) -> None:
        """Note that a commit was acknowledged to the caller."""
        self.events.append(Event("acknowledged"))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note everything that happens meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [
                "open",
                "write",
                "pwrite",
                "ftruncate",
                "rename",
                "unlink",
                "mkdir",
                "link",
                "fsync",
                "close",
            ]:
                patch.setattr(os, name, self._wrap(getattr(os, name), getattr(self, f"_{name}")))
            yield

    def _new(self) -> int:
        self._next += 1
        return self._next

    def _name(self, path: Any) -> str | None:
        text = os.fspath(path) if not isinstance(path, int) else ""
        if not isinstance(text, str) or not text.startswith(self.root):
            return None
        return text[len(self.root) :].strip("/")

    def _parent(self, name: str) -> int:
        return self._inodes[os.path.dirname(name)]

    @staticmethod
    def _wrap(real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            result = real(*args, **named)
            note(result, *args)
            return result

        return call

    def _note(self, event: Event) -> None:
        self.events.append(event)

    def _open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        name = self._name(path)
        if name is None or name.endswith("index.sqlite"):
            return
        if name not in self._inodes:
            self._inodes[name] = self._new()
            self._note(Event("link", self._inodes[name], name, directory=self._parent(name)))
        elif flags & os.O_TRUNC:
            self._note(Event("truncate", self._inodes[name], data=0))
        self._files[descriptor] = self._inodes[name]

    def _write(self, count: int, descriptor: int, data: Any) -> None:
        if descriptor in self._files:
            inode = self._files[descriptor]
            at = sum(len(e.data) for e in self.events if e.kind == "write" and e.inode == inode)
            self._note(Event("write", inode, data=bytes(data[:count]), offset=at))

    def _pwrite(self, count: int, descriptor: int, data: Any, offset: int) -> None:
        if descriptor in self._files:
            inode = self._files[descriptor]
            self._note(Event("write", inode, data=bytes(data[:count]), offset=offset))

    def _ftruncate(self, _: None, descriptor: int, length: int) -> None:
        if descriptor in self._files:
            self._note(Event("truncate", self._files[descriptor], data=length))

    def _rename(self, _: None, source: Any, target: Any) -> None:
        old, new = self._name(source), self._name(target)
        if old is not None and new is not None:
            inode = self._inodes[new] = self._inodes.pop(old)
            self._note(Event("rename", inode, new, old, directory=self._parent(new)))

    def _unlink(self, _: None, path: Any, *__: Any) -> None:
        name = self._name(path)
        if name is not None and name in self._inodes:
            inode = self._inodes.pop(name)
            self._note(Event("unlink", inode, name, directory=self._parent(name)))

    def _mkdir(self, _: None, path: Any, *__: Any) -> None:
        name = self._name(path)
        if name is not None:
            self._inodes[name] = self._new()
            self._note(Event("mkdir", self._inodes[name], name, directory=self._parent(name)))

    def _link(self, _: None, source: Any, target: Any) -> None:
        old, new = self._name(source), self._name(target)
        if old is not None and new is not None:
            self._inodes[new] = self._inodes[old]
            self._note(Event("link", self._inodes[old], new, directory=self._parent(new)))

    def _fsync(self, _: None, descriptor: int) -> None:
        if descriptor in self._files:
            self._note(Event("sync", self._files[descriptor]))

    def _close(self, _: None, descriptor: int) -> None:
        self._files.pop(descriptor, None)


class State(NamedTuple):
    """A state that a power loss may leave.

    Attributes:
        disk: Names and contents.
        acknowledged: How many commits the caller had been told of by then.
        story: Where the power went, and what was lost.
    """

    disk: Disk
    acknowledged: int
    story: str


def states(recorder: Recorder, *, variants: int, seed: int = 0) -> Iterator[State]:
    """Every moment, with what was not synced by then lost in every way, or in some ways.

    Args:
        recorder: What was recorded.
        variants: How many random losses to try at each moment, besides the systematic ones.
        seed: Of the random losses.
    """
    chance = random.Random(seed)
    durable, pending = recorder.start.copy(), []
    acknowledged = 0
    for number, event in enumerate([*recorder.events, Event("end")]):
        for kept, story in _losses(pending, chance, variants):
            disk = durable.copy()
            disk.apply_parts(pending, dict(kept))
            yield State(disk, acknowledged, f"before event {number} ({event.kind}): {story}")
        if event.kind == "acknowledged":
            acknowledged += 1
        elif event.kind == "sync":
            for one in [e for e in pending if _covers(event, e)]:
                durable.apply(one)
                pending.remove(one)
        elif event.kind != "end":
            pending.append(event)


def _covers(sync: Event, event: Event) -> bool:
    return sync.inode == (event.directory or event.inode)


def _losses(
    pending: list[Event], chance: random.Random, variants: int
) -> Iterator[tuple[list[tuple[int, str]], str]]:
    everything = [(n, "whole") for n in range(len(pending))]
    yield everything, "nothing lost"
    if not pending:
        return
    yield [], "everything lost"
    for n, event in enumerate(pending):
        yield [kept for kept in everything if kept[0] != n], f"lost: {event.kind} {event.name}"
        if event.kind == "write":
            for part in ("half", "hole", "zeros"):
                yield (
                    [(m, part if m == n else "whole") for m in range(len(pending))],
                    f"{part}: write of {len(event.data)} bytes",
                )
    for _ in range(variants):
        kept = [
            (n, chance.choice(["whole", "half", "hole", "zeros"]) if e.kind == "write" else "whole")
            for n, e in enumerate(pending)
            if chance.random() < 0.6
        ]
        yield kept, f"kept at random: {kept}"

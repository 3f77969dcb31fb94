"""git, as far as a data directory needs it: its commands, and its objects without a checkout."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import finalize

from filestore.disk.layout import shown
from filestore.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What git sets for its hooks: it would take the data directory for the top of the repository.
_OVERRIDES = (
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)
# Requests that are sent before the answers are read: they must fit into a pipe.
_BATCH = 100


class Object(NamedTuple):
    """An object of a repository.

    Attributes:
        id: Its id, in hexadecimal.
        kind: ``blob``, ``tree``, ``commit`` or ``tag``.
        data: Its content.
    """

    id: str
    kind: str
    data: bytes


class Git:
    """The git repository that a directory lies in. Safe to share between threads.

    Args:
        directory: The directory.

    Attributes:
        prefix: Where it lies in the repository, ending in ``/``; empty at the top.

    Raises:
        GitError: git is not installed, or the directory is in no repository that it can use.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._batch: _Batch | None = None
        self._mutex = threading.Lock()
        self._process_id = os.getpid()
        self.prefix = self.run("rev-parse", "--show-prefix").removesuffix("\n")

    def run(self, *arguments: str) -> str:
        """Run one git command in the directory.

        Returns:
            What it prints; bytes that are no UTF-8 as surrogates.

        Raises:
            GitError: It fails; the text says what git says.
        """
        command = ["git", *arguments]
        with self._started():
            done = subprocess.run(
                command, cwd=self.directory, env=environment(), capture_output=True, check=False
            )
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            if "not a git repository" in said[0]:
                raise GitError(
                    f"{self.directory} is in no git repository: make one with git init, "
                    "or give a directory that is in one",
                    path=Path(self.directory),
                )
            raise GitError(
                f"git {arguments[0]} failed in {self.directory}: "
                f"{said[0].removeprefix('fatal: ').removeprefix('error: ')}",
                path=Path(self.directory),
            )
        return done.stdout.decode("utf-8", "surrogateescape")

    def commit(self, revision: str) -> str:
        """The id of the commit that a revision names.

        Raises:
            GitError: There is no such commit.
        """
        found = None
        # A request is a line.
        if revision and not set(revision) & {"\n", "\r", "\0"}:
            named = self.object(revision)
            found = None if named is None else self.object(f"{named.id}^{{commit}}")
        if found is None:
            raise GitError(
                f"{shown(revision)} names no commit in the git repository of {self.directory}: "
                "git log shows those there are",
                path=Path(self.directory),
            )
        return found.id

    def object(self, name: str) -> Object | None:
        """Read one object, or None if there is none of that name."""
        (found,) = self.objects([name])
        return found

    def objects(self, names: Sequence[str]) -> Iterator[Object | None]:
        """Read many objects, in this order; None for each that is not there.

        Args:
            names: As git names them: an id, ``HEAD``, ``HEAD:./Cat/tom.json``.
        """
        if self._process_id != os.getpid():  # a forked child: a thread of the parent may hold it
            self._mutex, self._batch, self._process_id = threading.Lock(), None, os.getpid()
        for start in range(0, len(names), _BATCH):
            with self._mutex:
                if self._batch is None:
                    with self._started():
                        self._batch = _Batch(self.directory)
                batch, self._batch = self._batch, None  # an interrupt would leave answers behind
                try:
                    found = batch.read(names[start : start + _BATCH])
                    self._batch = batch
                except (OSError, ValueError) as error:
                    raise GitError(
                        f"git cat-file ended unexpectedly in {self.directory}: "
                        "git fsck says whether the repository is sound",
                        path=Path(self.directory),
                    ) from error
            yield from found

    @contextmanager
    def _started(self) -> Iterator[None]:
        """Say of git that it is not there, if it cannot be started."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if not os.path.isdir(self.directory):
                raise GitError(
                    f"{self.directory} is no directory: give the path of a data directory",
                    path=Path(self.directory),
                ) from error
            raise GitError(
                "git is not installed, or not on the PATH: install it to use revisions"
            ) from error


class _Batch:
    """A running ``git cat-file --batch``. It ends with its last reference."""

    def __init__(self, directory: str) -> None:
        self._process = subprocess.Popen(
            ["git", "cat-file", "--batch"],
            cwd=directory,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        finalize(self, _end, self._process, os.getpid())

    def read(self, names: Sequence[str]) -> list[Object | None]:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write("".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"))
        requests.flush()
        found: list[Object | None] = []
        for _ in names:
            header = answers.readline()
            if not header.endswith(b"\n"):
                raise ValueError("no answer")
            fields = header.rsplit(b" ", 2)
            if not fields[-1].rstrip().isdigit():
                found.append(None)  # missing, or ambiguous
                continue
            data = answers.read(int(fields[2]))
            answers.read(1)
            found.append(Object(fields[0].decode(), fields[1].decode(), data))
        return found


def _end(process: subprocess.Popen[bytes], process_id: int) -> None:
    if os.getpid() == process_id:
        process.kill()  # a forked child may hold its pipe open, so it need not end by itself
    else:
        process.returncode = 0  # it is the parent's to end and to wait for
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):  # it ended before, with a request in between
            pipe.close()
    process.wait()


def environment() -> dict[str, str]:
    """The environment in which git finds the repository that a directory lies in."""
    kept = {name: value for name, value in os.environ.items() if name not in _OVERRIDES}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}

"""Golden directories: what a store should hold at the end of a test, committed beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from filestore.comparison import compare
from filestore.disk import layout
from filestore.errors import CorruptFileError
from filestore.fixtures import read, rewrite
from filestore.testing.report import report, summary

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from filestore.comparison import Change, Records


@dataclass
class Run:
    """One run of pytest.

    Attributes:
        root: The directory that paths are shown relative to.
        update: Whether golden directories are written where they differ.
        full: Whether every difference is shown.
        changed: The files that were changed, with what was done to each.
        writers: The test that wrote a golden directory.
    """

    root: Path
    update: bool = False
    full: bool = False
    changed: dict[Path, str] = field(default_factory=dict)
    writers: dict[Path, str] = field(default_factory=dict)

    def shown(self, path: Path) -> str:
        """A path as messages have it: relative to the root, if it is below."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def changes(self) -> list[str]:
        """A line for each file that was changed."""
        return [f"{done} {self.shown(path)}" for path, done in self.changed.items()]


@dataclass
class Places:
    """Where one test finds its directories.

    Attributes:
        test: The test's node id.
        beside: The directory of its module, where to look first.
        fixtures: The directory of all fixtures.
        run: The run that it is part of.
    """

    test: str
    beside: Path
    fixtures: Path
    run: Run

    def candidates(self, name: str | os.PathLike[str]) -> list[Path]:
        """Where a directory may be, the first being the one that counts if several are there."""
        return list(dict.fromkeys((self.beside / name, self.fixtures / name)))

    def find(self, name: str | os.PathLike[str]) -> Path | None:
        """The directory of that name, or None."""
        return next((path for path in self.candidates(name) if path.is_dir()), None)

    def tried(self, name: str | os.PathLike[str]) -> str:
        """Where a directory was looked for, as messages have it."""
        return " or ".join(self.run.shown(path) for path in self.candidates(name))


def check(
    store: Path,
    name: str | os.PathLike[str],
    ignore: Iterable[str],
    places: Places,
    source: Path | None,
) -> None:
    """Fail unless a store holds what a golden directory holds; write it instead in an update.

    Args:
        store: The store's directory.
        name: The golden directory.
        ignore: What is not compared; see :class:`filestore.comparison.Masks`.
        places: Where the test finds its directories.
        source: The fixture that the store started from; never written.

    Raises:
        AssertionError: It does not.
    """
    __tracebackhide__ = True
    run = places.run
    ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    golden = places.find(name)
    if golden is None and not run.update:
        raise AssertionError(
            f"there is no golden directory {places.tried(name)}: "
            "run this test with --filestore-update to write it, then look at it and commit it"
        )
    expected = {} if golden is None else read(golden)
    found = read(store)
    changes = compare(expected, found, ignore)
    target = (golden or places.candidates(name)[0]).resolve()
    if golden is not None and not changes:
        run.writers.setdefault(target, places.test)
        return
    reason = None if not run.update else _why_not(target, changes, places, source)
    if run.update and reason is None:
        _write(target, store, expected, found, ignore, places)
        return
    advice = reason or "--filestore-update writes what was found, if that is right"
    raise AssertionError(
        f"the store differs from {run.shown(target)}: {summary(changes)}\n"
        f"(- expected, + found; {advice})\n{report(changes, full=run.full)}"
    )


def _why_not(
    golden: Path, changes: list[Change], places: Places, source: Path | None
) -> str | None:
    """Why an update must not write a golden directory, or None if it may."""
    if source is not None and golden == source.resolve():
        return "not updated: the store started from this very directory"
    if any(isinstance(change.new, CorruptFileError) for change in changes):
        return "not updated: the store has files that cannot be read"
    writer = places.run.writers.get(golden)
    if writer is not None:
        return f"not updated: it holds what {writer} expects, so give each a directory of its own"
    return None


def _write(
    golden: Path,
    store: Path,
    expected: Records,
    found: Records,
    ignore: Iterable[str],
    places: Places,
) -> None:
    run = places.run
    is_new = not golden.is_dir()
    done = rewrite(golden, expected, found, ignore)
    if is_new:
        # A directory without any record is not kept by git unless there is a file in it.
        for name in (layout.MANIFEST, layout.ATTRIBUTES):
            if (store / name).is_file():
                (golden / name).write_bytes((store / name).read_bytes())
                done[golden / name] = "wrote"
    run.changed |= done
    run.writers[golden] = places.test

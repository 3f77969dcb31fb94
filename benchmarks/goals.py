"""What FileStore should reach, as ratios of things measured in the same run."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks import scenarios as s
from benchmarks.measure import Ratio, Samples, What

MANY, MOST = 100_000, 1_000_000


class Goal(NamedTuple):
    """One goal.

    Attributes:
        text: What is to be reached.
        what: What is measured.
        against: What it is compared with.
        limit: The ratio that it should not exceed; or the difference, in milliseconds.
        difference: Whether the limit is a difference.
    """

    text: str
    what: What
    against: What
    limit: float
    difference: bool = False

    def reached(self, samples: Samples) -> Ratio | None:
        """What was reached; None if it was not measured."""
        if not self.difference:
            return samples.ratio(self.what, self.against)
        if self.what not in samples or self.against not in samples:
            return None
        pairs = zip(samples[self.what], samples[self.against], strict=True)
        # One process or another is always held up by the machine: quartiles tell more.
        gaps = sorted(1000 * (with_it - without) for with_it, without in pairs)
        quarter = len(gaps) // 4
        return Ratio(gaps[len(gaps) // 2], gaps[quarter], gaps[-1 - quarter])


def _against(scenario: str, title: str, limit: float, size: int = s.SMALL) -> Goal:
    what = What(scenario, size, "FileStore")
    at = "" if size == s.SMALL else f", {size:,} records"
    return Goal(f"{scenario}{at} / {title}", what, what._replace(title=title), limit)


def _growth(scenario: str, small: int, large: int, limit: float) -> Goal:
    what = What(scenario, large, "FileStore")
    text = f"{scenario}, {large:,} records / {small:,} records"
    return Goal(text, what, what._replace(size=small), limit)


def goals(sizes: tuple[int, ...]) -> list[Goal]:
    """The goals; those about many records at the largest size that is measured, up to theirs."""
    many = max(size for size in sizes if size <= MANY)
    most = max(size for size in sizes if size <= MOST)
    found = What(s.FIND, many, "FileStore")
    again = found._replace(scenario=s.FIND_AFTER)
    started, tested = What(s.IMPORT, 0, "FileStore"), What(s.PYTEST, 0, "FileStore")
    return [
        _against(s.PUT, "MemoryStore", 1.0),
        _against(s.PUT, "PickleStore", 0.6),
        _against(s.GET, "MemoryStore", 0.7),
        _against(s.GET, "PickleStore", 0.35),
        _against(s.PATCH, "PickleStore", 0.45),
        _against(s.PATCH, "floor", 1.5),
        _against(s.PUT_BOOK, "MemoryStore", 0.7),
        _against(s.PUT_BOOK, "PickleStore", 0.4),
        _against(s.GET_BOOK, "PickleStore", 0.15),
        _against(s.GET_BOOK, "MemoryStore", 3.0),
        _against(s.DELETE_BOOK, "PickleStore", 0.6),
        _against(s.EXTEND, "PickleStore", 0.01),
        _against(s.BULK, "MemoryStore", 0.8),
        _against(s.FIND, "SQLite + JSON", 1.5, many),
        _against(s.FIND, "TinyDB", 0.1, many),
        _against(s.FIRST, s.STATUS, 3.0, many),
        Goal(f"{s.FIND_AFTER}, {many:,} records / without", again, found, 2.0),
        _growth(s.PUT, s.SMALL, most, 1.3),
        _growth(s.GET, s.SMALL, most, 1.3),
        _growth(s.MEMORY, s.SMALL, most, 1.5),
        Goal(
            f"{s.IMPORT} with `import filestore`, more than bare, ms",
            started,
            started._replace(title="bare"),
            10.0,
            difference=True,
        ),
        Goal(
            f"{s.PYTEST} with the plugin unused, more than without, ms",
            tested,
            tested._replace(title="bare"),
            10.0,
            difference=True,
        ),
    ]

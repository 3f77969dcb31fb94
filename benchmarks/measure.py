"""How things are measured: interleaved, in rounds, by medians; and what was measured."""

from __future__ import annotations

import gc
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from benchmarks.contestants import Contestant


class What(NamedTuple):
    """What was measured: a scenario, at a size of the store, on a contestant."""

    scenario: str
    size: int
    title: str


class Ratio(NamedTuple):
    """The ratio of two measurements: its median over the rounds, its least and its greatest."""

    median: float
    least: float
    most: float


class Samples(dict[What, list[float]]):
    """For each thing measured, the median of each round, in seconds (or in bytes of memory)."""

    def add(self, what: What, value: float) -> None:
        """Add the value of one round."""
        self.setdefault(what, []).append(value)

    def median(self, what: What) -> float | None:
        """The median over all rounds; None if it was not measured."""
        return median(self[what]) if what in self else None

    def ratio(self, what: What, against: What) -> Ratio | None:
        """How one thing compares with another, round by round."""
        if what not in self or against not in self:
            return None
        ratios = [a / b for a, b in zip(self[what], self[against], strict=True)]
        return Ratio(median(ratios), min(ratios), max(ratios))


class Scenario(NamedTuple):
    """One kind of work.

    Attributes:
        name: What it is called in the tables.
        build: Makes what the caller hands in; measured apart. Given the contestant, the handles of
            its records, and a number.
        run: What is compared. Given the contestant and what was built.
        offers: Tells whether a contestant has anything for it.
        count: How many times it is run in a round, at most.
        each: How many records one run handles; its time is divided by that.
    """

    name: str
    build: Callable[[Contestant, list[Any], int], Awaitable[Any]]
    run: Callable[[Contestant, Any], Awaitable[Any]]
    offers: Callable[[Contestant], bool] = lambda contestant: True
    count: int = 100
    each: int = 1


async def compare(
    scenario: Scenario,
    entries: Sequence[tuple[Contestant, list[Any]]],
    samples: Samples,
    *,
    size: int,
    rounds: int,
    seconds: float,
) -> None:
    """Run a scenario on all contestants, in turn, several rounds.

    Args:
        scenario: The scenario.
        entries: The contestants, with the handles of the records that each is filled with.
        samples: Where the medians go; what the caller builds is noted under `construction`.
        size: How many records each store holds.
        rounds: How many rounds; in each, the contestants take turns, each time another one first.
        seconds: How long a contestant may take in a round, roughly.
    """
    numbers = iter(range(1, 1 << 40))
    playing = [(each, handles) for each, handles in entries if scenario.offers(each)]
    for warming in (True, *[False] * rounds):
        for contestant, handles in playing:
            limit = 0.0 if warming else seconds
            built, ran = [], []
            for number, spent in _until(limit, scenario.count, numbers):
                built.append(await _time(scenario.build(contestant, handles, number)))
                argument = built[-1][1]
                ran.append(await _time(scenario.run(contestant, argument)))
                spent.append(built[-1][0] + ran[-1][0])
            if not warming:
                what = What(scenario.name, size, contestant.title)
                samples.add(what, median(took for took, _ in ran) / scenario.each)
                construction = what._replace(scenario=f"{scenario.name}: construction")
                samples.add(construction, median(took for took, _ in built) / scenario.each)
        playing = [*playing[1:], *playing[:1]]


def _until(seconds: float, count: int, numbers: Iterator[int]) -> Iterator[tuple[int, list[float]]]:
    """Numbers, until the time is up or there are enough, at least one."""
    gc.collect()
    gc.freeze()  # what the others hold costs this one no time
    spent: list[float] = []
    for _ in range(count):
        yield next(numbers), spent
        if sum(spent) > seconds:
            return


async def _time(work: Awaitable[Any]) -> tuple[float, Any]:
    start = perf_counter()
    result = await work
    return perf_counter() - start, result

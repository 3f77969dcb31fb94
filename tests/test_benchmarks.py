"""The benchmark: what it measures, how it compares, and what it makes of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import plots, report, scenarios
from benchmarks.contestants import CONTESTANTS
from benchmarks.goals import goals
from benchmarks.measure import Samples, What

TITLES = ["FileStore", "MemoryStore", "PickleStore", "SQLite + JSON", "floor"]
QUICK = scenarios.QUICK._replace(rounds=1, seconds=0.01, sizes=(scenarios.SMALL,), bulk=10)


@pytest.fixture
def samples() -> Samples:
    """FileStore takes 30 and 60 µs, MemoryStore 60 and 60."""
    found = Samples()
    for title, times in (("FileStore", (30e-6, 60e-6)), ("MemoryStore", (60e-6, 60e-6))):
        for scenario in (scenarios.PUT, scenarios.GET):
            for took in times:
                found.add(What(scenario, scenarios.SMALL, title), took)
    return found


def test_ratios_are_taken_round_by_round(samples: Samples) -> None:
    what = What(scenarios.PUT, scenarios.SMALL, "FileStore")
    ratio = samples.ratio(what, what._replace(title="MemoryStore"))
    assert ratio == (0.75, 0.5, 1.0)
    assert samples.ratio(what, what._replace(title="TinyDB")) is None


def test_goals_are_judged_by_the_median(samples: Samples) -> None:
    reached = {goal.text: goal.reached(samples) for goal in goals((scenarios.SMALL,))}
    assert reached["put a plain record / MemoryStore"] == (0.75, 0.5, 1.0)
    assert reached["put a plain record / PickleStore"] is None
    lines = report.tables(samples, QUICK).splitlines()
    (put,) = (line for line in lines if line.startswith("| put a plain record / MemoryStore"))
    assert put.split("|")[3].strip() == "0.75 (0.50 to 1.00)"
    assert put.split("|")[4].strip() == "reached"  # at most 1
    (get,) = (line for line in lines if line.startswith("| get a plain record / MemoryStore"))
    assert get.split("|")[4].strip() == "missed"  # more than 0.7


def test_a_difference_is_in_milliseconds() -> None:
    found = Samples()
    for bare, with_it in ((0.010, 0.012), (0.010, 0.013), (0.010, 0.050)):
        found.add(What(scenarios.IMPORT, 0, "bare"), bare)
        found.add(What(scenarios.IMPORT, 0, "FileStore"), with_it)
    (goal,) = (goal for goal in goals((scenarios.SMALL,)) if "import filestore" in goal.text)
    reached = goal.reached(found)
    assert reached is not None
    assert reached.median == pytest.approx(3.0)


def test_the_page_keeps_what_is_around_the_figures(samples: Samples, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report._BEGIN}\nold\n{report._END}\nafter\n", "utf-8")
    for _ in range(2):
        report.write(samples, QUICK, page)
        text = page.read_text("utf-8")
        assert text.startswith(f"before\n{report._BEGIN}\n")
        assert text.endswith(f"{report._END}\nafter\n")
        assert "old" not in text
        assert text.count("put a plain record / MemoryStore") == 1
    for picture in (tmp_path / "performance").iterdir():
        assert f"(performance/{picture.name})" in text
        ElementTree.parse(picture)


def test_plots_hold_what_they_are_given() -> None:
    bars = plots.ratio_bars({"put & get": {"MemoryStore": 0.5, "TinyDB": 0.002}})
    root = ElementTree.fromstring(bars)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"put & get", "MemoryStore", "TinyDB", "0.5", "0.002"} <= set(texts)
    lines = plots.size_lines("put", {"FileStore": [(1_000, 60e-6), (10_000, 61e-6)]})
    root = ElementTree.fromstring(lines)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"FileStore", "1,000", "10,000"} <= set(texts)


async def test_scenarios_are_run_on_every_store(tmp_path: Path) -> None:
    installed = [kind.title for kind in CONTESTANTS if kind.is_installed()]
    assert set(TITLES) <= set(installed)
    told: list[str] = []
    found = await scenarios.measure(QUICK, tmp_path, told.append, only="get a ")
    for scenario in (scenarios.GET, scenarios.GET_BOOK):
        for title in installed:
            (took,) = found[What(scenario, scenarios.SMALL, title)]
            assert 0 < took < 1
    assert What(scenarios.PUT, scenarios.SMALL, "FileStore") not in found
    assert any(scenarios.GET in text for text in told)

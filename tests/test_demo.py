"""``make demo``, on three countries: what it prints, and what it leaves behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "demo.py"

COUNTRIES = ("FR", "CH", "LU")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the demo runs."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def output(directory: Path) -> str:
    """What the demo prints when it runs a second time, over the data of the first."""
    (directory / "demo-data" / "Country").mkdir(parents=True)
    (directory / "demo-data" / "Country" / "XX.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, SCRIPT, *COUNTRIES],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def section(output: str, number: int) -> str:
    """What is printed below one numbered heading."""
    return re.split(r"^\d+\. .*\n", output, flags=re.MULTILINE)[number]


def test_steps_are_numbered_and_set_for_any_output(output: str) -> None:
    headings = re.findall(r"^(\d+)\. \S.*$", output, flags=re.MULTILINE)

    assert headings == [str(number) for number in range(1, 9)]
    assert "\033" not in output
    assert max(map(len, output.splitlines())) <= 100


def test_shown_code_is_the_code_that_ran(output: str) -> None:
    source = SCRIPT.read_text("utf-8")
    shown = re.findall(r">>> (.*)", output)

    assert shown
    for line in shown:
        assert source.count(line) >= 2, line


def test_shown_files_are_there(output: str, directory: Path) -> None:
    tree = section(output, 2)
    assert "├── CH.json" in tree
    assert "├── CH.rels.json" in tree
    for name in re.findall(r"\$ cat (\S+)", output):
        assert (directory / name).read_text("utf-8") in section(output, 3).replace("\n   ", "\n")


def test_query_and_backref_answer(output: str) -> None:
    query, backref = (" ".join(section(output, number).split()) for number in (4, 5))

    assert "Switzerland, 26: Aargau, " in query
    assert "Luxembourg, 12: Capellen, " in query
    assert backref.endswith("Val-de-Marne, Val-d'Oise")


def test_edit_is_seen_and_taken_back(output: str) -> None:
    assert re.findall(r"'\w+'", section(output, 7)) == ["'Lutetia'", "'Paris'"]


def test_diff_shows_the_patch_alone(output: str) -> None:
    changed = re.findall(r"^   ([+-](?![+-]).*)$", section(output, 8), flags=re.MULTILINE)

    assert changed == [
        '+  "motto": "Liberté, égalité, fraternité",',
        '+  "capital": [',
        '+    "Subdivision/FR-75C"',
        "+  ],",
    ]


def test_data_is_left_and_nothing_else(output: str, directory: Path) -> None:
    data = directory / "demo-data"
    models = {path.stem: orjson.loads(path.read_bytes()) for path in data.glob("Country/??.json")}

    assert [path.name for path in directory.iterdir()] == ["demo-data"]
    assert sorted(models) == sorted(COUNTRIES)
    assert models["FR"]["official_name"] == "French Republic"

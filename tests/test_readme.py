"""Every example of the README and of the pages runs, and prints what is shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import filestore

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


@pytest.mark.parametrize("page", ["README.md", "docs/testing.md"])
def test_examples_print_what_is_shown(tmp_path: Path, page: str) -> None:
    # In a process of its own, because model classes are global and go by their names.
    fresh = Path(shutil.copy(ROOT / page, tmp_path))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("documentation.py"), fresh],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert fresh.read_text("utf-8") == (ROOT / page).read_text("utf-8"), (
        "see what `make readme` changes"
    )


def test_every_error_is_explained() -> None:
    table = re.findall(r"^\| `(\w+Error)` \| `(\w+)` \|", README.read_text("utf-8"), re.MULTILINE)

    assert sorted(name for name, _ in table) == [
        name for name in filestore.__all__ if name.endswith("Error")
    ]
    for name, parent in table:
        assert parent in {cls.__name__ for cls in getattr(filestore, name).__mro__[1:]}, name


def test_every_command_that_is_named_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

    named = re.findall(r"(?:^|`)make (\w+)", README.read_text("utf-8"), re.MULTILINE)

    assert {"demo", "test"} <= {*named} <= {*targets}

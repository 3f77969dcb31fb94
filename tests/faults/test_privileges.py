"""Tests that need strace or root may be skipped, but not all of them where changes are checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_not_all_of_them_are_skipped(ci: str, code: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/faults/test_kill.py"],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "PATH": str(tmp_path), "CI": ci},  # so that there is no strace
        capture_output=True,
        text=True,
        check=False,
    )
    assert "needs strace" in done.stdout
    assert "passed" not in done.stdout
    assert done.returncode == code, done.stdout

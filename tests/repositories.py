"""git repositories as tests make and use them: nothing from the user's own git configuration."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "LC_ALL": "C",
}


class Repository:
    """A git repository.

    Args:
        root: Its directory, which is made if it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        """Run a git command that succeeds; returns what it prints."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a git command that may fail."""
        return subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def commit(self, message: str = "A change") -> str:
        """Commit everything, and return the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.git("rev-parse", "HEAD").strip()

    def branch(self, name: str, start: str = "main") -> None:
        """Make a branch and switch to it."""
        self.git("switch", "--quiet", f"--create={name}", start)

    def switch(self, name: str) -> None:
        """Switch to a branch."""
        self.git("switch", "--quiet", name)

    def merge(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Merge a branch into the current one; the status is 1 if there are conflicts."""
        return self.attempt("merge", "--quiet", "--no-edit", *options, name)

    def conflicts(self) -> list[str]:
        """The files that are not merged."""
        return sorted(self.git("diff", "--name-only", "--diff-filter=U").split())

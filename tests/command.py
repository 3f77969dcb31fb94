"""Running the command `filestore` in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from click.testing import CliRunner

from filestore.cli.main import cli

if TYPE_CHECKING:
    from pathlib import Path


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it wrote, which is JSON."""
        return orjson.loads(self.out)


def run(*args: str | Path, stdin: str | bytes | None = None) -> Done:
    """Run `filestore` with these arguments; an unexpected exception is raised."""
    result = CliRunner(catch_exceptions=False).invoke(cli, [str(a) for a in args], input=stdin)
    return Done(result.exit_code, result.stdout, result.stderr)


def out(*args: str | Path, stdin: str | bytes | None = None) -> str:
    """What a command writes that ends well, and says nothing on stderr."""
    done = run(*args, stdin=stdin)
    assert (done.status, done.err) == (0, "")
    return done.out


def files(root: Path) -> dict[str, str]:
    """The record files."""
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.glob("[!.]*/*"))
        if path.is_file()
    }

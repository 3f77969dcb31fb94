"""``filestore merge-driver``: merges one file of a record for git, part by part."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import click

from filestore.cli.terminal import CONTEXT
from filestore.errors import CorruptFileError
from filestore.merge import Merged, merge

# What git's configuration calls the driver.
NAME = "filestore"

# How git runs it: with this interpreter, and without looking for modules in the repository. If that
# fails, because it is not installed any more, say, git merges by line as usual: a conflict must
# never be left without its markers.
_COMMAND = (
    "{python} -P -m filestore.cli.merge_driver %O %A %B %P || "
    "if grep -q '^<<<<<<< ' %A; then exit 1; "
    "else git merge-file -L ours -L base -L theirs %A %O %B; fi"
)


def driver_command() -> str:
    """The shell command that git runs for each file that both sides of a merge changed."""
    return _COMMAND.format(python=shlex.quote(sys.executable).replace("%", "%%"))


@click.command("merge-driver", context_settings=CONTEXT)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
@click.argument("name")
def command(base: Path, ours: Path, theirs: Path, name: str) -> None:
    """Merge one file of a record, for git.

    git runs this after `filestore git-setup`. BASE, OURS and THEIRS are the three versions, NAME is
    the file in the repository. The result goes to OURS. The exit status is 1 if there are
    conflicts. A file that cannot be read is merged as git does it, by line.

    Example: filestore merge-driver %O %A %B %P
    """
    record = "/".join(name.split("/")[-2:])
    try:
        merged = merge(record, base.read_bytes(), ours.read_bytes(), theirs.read_bytes())
    except CorruptFileError as error:
        click.echo(f"{error}; merging it by line", err=True)
        merged = None
    if merged is None:
        sys.exit(_merge_by_line(base, ours, theirs))
    _tell(merged)
    ours.write_bytes(merged.data)
    sys.exit(1 if merged.conflicts else 0)


def _tell(merged: Merged) -> None:
    for conflict in merged.conflicts:
        shown = "".join(c if c.isprintable() else "?" for c in conflict)
        click.echo(f"CONFLICT (filestore): both sides changed {shown}", err=True)


def _merge_by_line(base: Path, ours: Path, theirs: Path) -> int:
    labels = [part for label in ("ours", "base", "theirs") for part in ("-L", label)]
    done = subprocess.run(["git", "merge-file", *labels, ours, base, theirs], check=False)
    return 0 if done.returncode == 0 else 1


if __name__ == "__main__":
    command()

"""`init`, `check`, `repair`, `reindex` and `recover`: looking after a data directory."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from filestore.check import check as find
from filestore.cli.directory import database_at, directory_argument, json_option, opened
from filestore.cli.terminal import Progress, count, say, say_json
from filestore.disk.manifest import open_directory
from filestore.repair import Repairs
from filestore.repair import repair as mend
from filestore.runtime import kept_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from filestore.database import Database
    from filestore.problems import Problem


@click.command()
@directory_argument
@click.option("--name", help="What the store is called.")
@click.option("--git", is_flag=True, help="Also run git-setup.")
@click.pass_context
def init(ctx: click.Context, directory: str, name: str | None, git: bool) -> None:
    """Make a store of a directory, which may be there and hold records.

    Example: filestore init data --name cats
    """
    setup = None
    if git:
        assert ctx.parent is not None
        assert isinstance(ctx.parent.command, click.Group)
        setup = ctx.parent.command.get_command(ctx.parent, "git-setup")
        if setup is None:
            raise click.UsageError("this version of filestore has no git-setup")
    root = os.path.abspath(directory)
    manifest = open_directory(root, uid=None, name=name, default_name="FileStore", read_only=False)
    say(f"{directory} is store {manifest.name} ({manifest.uid})")
    if setup is not None:
        setup.main([directory], standalone_mode=False)


def _as_json(problems: Iterable[Problem]) -> list[dict[str, object]]:
    return [problem._asdict() for problem in problems]


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@json_option
def check(directories: Sequence[str], as_json: bool) -> None:
    """Find everything that is wrong, and change nothing.

    A line is path:line: CODE what is wrong, what to do; docs/check.md explains the codes. The exit
    status is 1 if anything is found.

    Example: filestore check data
    """
    found: list[Problem] = []
    for directory in directories:
        with Progress("Checking") as progress:
            problems = find(os.path.abspath(directory), progress)
        place = os.path.normpath(directory)
        found += [p._replace(path=os.path.normpath(f"{place}/{p.path}")) for p in problems]
    if as_json:
        say_json(_as_json(found))
    else:
        for problem in found:
            say(str(problem))
    if found:
        raise click.exceptions.Exit(1)


@click.command()
@directory_argument
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def repair(directory: str, dry_run: bool, as_json: bool) -> None:
    """Mend what can be mended without losing anything.

    What is removed is kept in a file below .filestore/removed, which is named at the end. The
    exit status is 1 if a problem is left.

    Example: filestore repair data --dry-run
    """
    with Progress("Repairing") as progress:
        done = asyncio.run(mend(database_at(directory), dry_run=dry_run, progress=progress))
    if as_json:
        say_json(
            {
                "repaired": _as_json(done.repaired),
                "left": _as_json(done.left),
                "kept": None if done.kept is None else str(done.kept),
            }
        )
    else:
        _report(done, dry_run=dry_run)
    if done.left:
        raise click.exceptions.Exit(1)


def _report(done: Repairs, *, dry_run: bool) -> None:
    for problem in done.repaired:
        say(str(problem))
    if done.left and done.repaired:
        say("Left for a person:")
    for problem in done.left:
        say(str(problem))
    problems = count(len(done.repaired), "problem")
    would = " would be" if dry_run else ""
    text = f"{problems}{would} repaired, {len(done.left)}{would} left."
    kept = (
        "" if done.kept is None else f" What was removed is kept in {os.path.relpath(done.kept)}."
    )
    say(f"{text}{kept}")


@click.command()
@directory_argument
def reindex(directory: str) -> None:
    """Make the index of links and property values anew.

    Never needed for right answers: the index keeps itself up to date.

    Example: filestore reindex data
    """
    database = opened(directory, write=True)
    with Progress("Indexing") as progress:
        files, links = database.index.rebuild(progress)
    database.index.close()
    say(f"{count(files, 'file')} read, {count(links, 'link')} found")


@click.command()
@directory_argument
def recover(directory: str) -> None:
    """Finish a commit that was interrupted.

    The next write does it, too; this says what was done.

    Example: filestore recover data
    """
    database = opened(directory, write=True)
    marks = database.log.marks()
    if not marks.pending:
        say("nothing to recover: every commit is finished")
        return
    entry = database.log.pending(marks)
    before = kept_aside(database.files)
    asyncio.run(_enter(database))
    if entry is None:
        say(
            f"commit {marks.committed} was torn by a power loss before it was acknowledged: dropped"
        )
        return
    say(f"finished commit {marks.committed}:")
    kept = [name for name in kept_aside(database.files) if name not in before]
    for operation in entry.operations:
        if operation.is_done(_content(database, operation.path)):
            say(f"  {'removed' if operation.content is None else 'wrote'} {operation.path}")
        else:
            say(f"  left {operation.path} as it is, because it was edited since")
    for name in kept:
        say(f"  what it would have written is in {name}: merge it by hand")
    if kept:
        raise click.exceptions.Exit(1)


def _content(database: Database, path: str) -> bytes | None:
    try:
        return database.files.read(path)
    except ValueError:  # something else is in its place, so it was not written
        return b""


async def _enter(database: Database) -> None:
    """Take the writer lock, which finishes what is not finished."""
    async with database.begin():
        pass

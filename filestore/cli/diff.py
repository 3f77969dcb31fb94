"""``filestore diff``: what changed between two directories or git revisions."""

from __future__ import annotations

import os

import click

from filestore.cli.changes import document, lines, to_json
from filestore.cli.terminal import CONTEXT
from filestore.disk.files import Files
from filestore.disk.git import Git
from filestore.disk.revision import Revision
from filestore.versions import compare


@click.command("diff", context_settings=CONTEXT)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--directory",
    "-C",
    type=click.Path(exists=True, file_okay=False),
    help="The data directory that revisions are of; by default the other side, or this directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a record.")
def command(before: str, after: str, directory: str | None, as_json: bool) -> None:
    """Show what changed from A to B, by record, property, link and point.

    A and B are data directories or git revisions, such as HEAD~1, or HEAD~1:data with the
    directory.

    Example: filestore diff HEAD data
    """
    old = _side(before, directory or _directory(after))
    new = _side(after, directory or _directory(before))
    for record in compare(old, new):
        if as_json:
            click.echo(to_json(document(record)))
        else:
            for line in lines(record):
                click.echo(line)


def _side(name: str, directory: str) -> Files:
    if os.path.isdir(name):
        return Files(name)
    revision, colon, path = name.partition(":")
    if revision and colon and os.path.isdir(path or "."):
        return Revision(Git(path or "."), revision)
    return Revision(Git(directory), name)


def _directory(other: str) -> str:
    """The directory that a revision is of, given the other side."""
    path = other if os.path.isdir(other) else other.partition(":")[2]
    return path if path and os.path.isdir(path) else "."

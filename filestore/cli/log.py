"""``filestore log``: the history of one record, property by property."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from filestore.cli.changes import document, lines, printable, to_json
from filestore.cli.terminal import CONTEXT
from filestore.disk import layout
from filestore.disk.git import Git
from filestore.errors import RecordNotFoundError
from filestore.versions import RecordChanges, compare_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filestore.disk.layout import Key

# Fields end with NUL, which neither names nor subjects hold.
_FORMAT = "--format=%H%x00%P%x00%an%x00%aI%x00%s"


class Commit(NamedTuple):
    """A commit: its id, its parents' ids, who made it, when, and the first line of its message."""

    id: str
    parents: list[str]
    author: str
    date: str
    subject: str


@click.command("log", context_settings=CONTEXT)
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.argument("uid")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a commit.")
def command(directory: str, uid: str, as_json: bool) -> None:
    """Show how the record UID in DIRECTORY came to be what it is, latest commit first.

    UID is a uid, or a path such as Cat/tom where several models have that uid. Records that are
    gone have a history, too.

    Example: filestore log data tom
    """
    for commit, records in history(Git(directory), uid):
        author, subject = (
            text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for text in (commit.author, commit.subject)
        )
        if as_json:
            changes = [document(record) for record in records]
            found = {"commit": commit.id, "author": author, "date": commit.date}
            click.echo(to_json({**found, "subject": subject, "records": changes}))
        else:
            about = f"{commit.id[:10]} {commit.date} {author}: {subject}"
            click.echo(printable(about))
            for record in records:
                for line in lines(record):
                    click.echo(f"  {line}")


def history(git: Git, uid: str) -> Iterator[tuple[Commit, list[RecordChanges]]]:
    """The commits that changed a record, latest first, each with what it changed.

    A merge is among them if it made something that none of its parents had.

    Raises:
        RecordNotFoundError: No commit has such a record.
        InvalidUidError: No record can have this uid.
    """
    model, _, plain = uid.rpartition("/")
    pattern = f":(glob){model or '*'}/{layout.check_uid(plain)}.*"
    files = _files(git, pattern)
    if not files:
        raise RecordNotFoundError(
            f"no commit has a record {uid} in {git.directory}: commit it first", uid=uid
        )
    output = git.run("log", "-z", _FORMAT, "--date-order", "--", pattern)
    fields = output.split("\0")
    for start in range(0, len(fields) - 4, 5):
        number, parents, author, date, subject = fields[start : start + 5]
        commit = Commit(number, parents.split(), author, date, subject)
        records = [
            found for key, names in files.items() if (found := _changes(git, commit, key, names))
        ]
        if records:
            yield commit, records


def _files(git: Git, pattern: str) -> dict[Key, list[str]]:
    """The files that the record has in any commit, by the addresses that it has."""
    output = git.run(
        "log", "-z", "--format=", "--name-only", "--no-renames", "-m", "--relative", "--", pattern
    )
    files: dict[Key, list[str]] = {}
    for name in sorted({*output.split("\0")}):
        key = layout.key_of(name)
        if key is not None:
            files.setdefault(key, []).append(name)
    return files


def _changes(git: Git, commit: Commit, key: Key, names: list[str]) -> RecordChanges | None:
    """What a commit changed in a record: what is different from each of its parents."""
    after = _Contents.of(git, commit.id, names)
    found: RecordChanges | None = None
    parents: list[str | None] = [*commit.parents]
    for parent in parents or [None]:
        before = _Contents() if parent is None else _Contents.of(git, parent, names)
        changes = compare_record(key, names, before, after)
        if changes is None:
            return None
        if found is not None:
            same = {(c.kind, c.field, c.item) for c in changes.changes}
            kept = [c for c in found.changes if (c.kind, c.field, c.item) in same]
            changes = found._replace(changes=kept)
        found = changes
    return found if found and found.changes else None


class _Contents(dict[str, bytes | None]):
    """The files of a record as one commit has them."""

    @classmethod
    def of(cls, git: Git, commit: str, names: list[str]) -> _Contents:
        objects = git.objects([f"{commit}:./{name}" for name in names])
        return cls((n, found and found.data) for n, found in zip(names, objects, strict=True))

    def read(self, name: str) -> bytes | None:
        return self.get(name)

    def exists(self, name: str) -> bool:
        return self.get(name) is not None

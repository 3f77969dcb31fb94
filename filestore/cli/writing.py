"""`put`, `rm`, `link` and `unlink`: editing records, each as one unit of work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filestore.cli.conditions import parsed
from filestore.cli.directory import (
    complete_model,
    complete_record,
    directory_argument,
    key_named,
    locate,
    model_named,
    write,
)
from filestore.cli.terminal import Failure, Progress, count, say
from filestore.disk import documents, layout
from filestore.disk.layout import Key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from filestore.transaction import Transaction

_MODEL_NAME = "model_name"
STDIN = Path("<stdin>")


@click.command()
@directory_argument
@click.argument("record", metavar="MODEL[/UID]", shell_complete=complete_model)
@click.argument("properties", metavar="NAME=VALUE...", nargs=-1)
@click.option("--unset", multiple=True, metavar="NAME", help="Take a property away.")
@click.option("--replace", is_flag=True, help="Take all other properties away.")
def put(
    directory: str, record: str, properties: Sequence[str], unset: Sequence[str], replace: bool
) -> None:
    """Write properties of a record; a new one without UID, or if there is none.

    A VALUE is JSON or a text; `-` reads a JSON object of properties from stdin. Links and time
    series stay as they are. What types a model class declares is not checked here.

    Example: filestore put data Cat/tom age=4 name=Tom
    """
    given = _given(properties)
    if _MODEL_NAME in (*given, *unset):
        raise click.UsageError(f"{_MODEL_NAME} follows from the directory: use rename-model")

    def work(transaction: Transaction) -> Key:
        key = _record(transaction, record)
        before = transaction.document(key)
        kept = {} if replace or before is None else before
        after = {name: value for name, value in {**kept, **given}.items() if name not in unset}
        if before is None or _MODEL_NAME in before:
            after[_MODEL_NAME] = key.model
        for name in unset:
            if name not in {**kept, **given}:
                raise Failure(f"{key.link} has no property {layout.shown(name)}")
        transaction.put_document(key, after)
        return key

    say(write(directory, work).link)


def _given(properties: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for text in properties:
        if text == "-":
            given |= documents.decode_document(sys.stdin.buffer.read(), STDIN)
            continue
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} is no property: write name=value, or - for stdin")
        given[name] = parsed(value)
    return given


def _record(transaction: Transaction, text: str) -> Key:
    """The record to write; a new uid must be no other record's."""
    if "/" not in text:
        return Key(model_named(text), layout.new_uid())
    key = key_named(text)
    if not transaction.exists(key):
        other = transaction.locate(key.uid)
        if other is not None:
            raise Failure(f"uid {key.uid} is that of {other.link}: choose another")
        # Left by somebody who removed the record alone, they would become the new record's.
        series = transaction.files.series(key.model).get(key.uid, [])
        if series or transaction.read(key.links) is not None:
            raise Failure(f"{key.link} has files without a record: repair the directory first")
    return key


@click.command()
@directory_argument
@click.argument("uids", metavar="UID...", nargs=-1, required=True, shell_complete=complete_record)
@click.option("--unlink", "may_unlink", is_flag=True, help="Remove links to them, too.")
@click.option(
    "--with", "names", multiple=True, metavar="NAME", help="Remove what they alone link to as NAME."
)
def rm(directory: str, uids: Sequence[str], may_unlink: bool, names: Sequence[str]) -> None:
    """Remove records.

    A record that others link to is removed with --unlink alone. The files do not say which
    relationships are compositions, so --with names those whose members go along: each that no
    remaining record links to as NAME, and so on.

    Example: filestore rm data Human/lisa --unlink --with cats
    """

    def work(transaction: Transaction) -> tuple[list[Key], int]:
        roots = [locate(transaction, uid) for uid in uids]
        with Progress("Reading links"):
            transaction.catch_up()
        doomed = _doomed(transaction, roots, names)
        sources = [source for source in transaction.referrers(doomed) if source not in doomed]
        if sources and not may_unlink:
            raise Failure(
                f"links of {_listed(sources)} lead to what would be removed: "
                "give --unlink to remove these links, too"
            )
        removed = 0
        for source in sources:
            links = transaction.links(source)
            left = {name: [to for to in links[name] if to not in doomed] for name in links}
            removed += sum(len(links[name]) - len(left[name]) for name in links)
            transaction.put_links(source, left)
        transaction.delete(doomed)
        return list(doomed), removed

    gone, unlinked = write(directory, work)
    for key in gone:
        say(f"removed {key.link}")
    if unlinked:
        say(f"removed {count(unlinked, 'link')} to what is gone")


def _doomed(
    transaction: Transaction, roots: Iterable[Key], names: Collection[str]
) -> dict[Key, None]:
    """The roots, with the members that nothing which stays links to by one of the names."""
    reached = dict.fromkeys(roots)
    doomed = dict(reached)
    pending = list(reached)
    while pending:
        links = transaction.links(pending.pop())
        for to in (to for name in names for to in links.get(name, ())):
            if to not in doomed and transaction.exists(to):
                doomed[to] = None
                pending.append(to)
    stays = True
    while stays:
        stays = False
        for key in [key for key in doomed if key not in reached]:
            hits = transaction.incoming(key)
            if any(name in names and source not in doomed for source, name in hits):
                del doomed[key]
                stays = True
    return doomed


def _listed(keys: Collection[Key]) -> str:
    links = sorted(key.link for key in keys)
    more = f" and {len(links) - 3} more" if len(links) > 3 else ""
    return ", ".join(links[:3]) + more


source_argument = click.argument("source", metavar="UID", shell_complete=complete_record)
targets_argument = click.argument(
    "targets", metavar="TARGET...", nargs=-1, required=True, shell_complete=complete_record
)


@click.command()
@directory_argument
@source_argument
@click.argument("name")
@targets_argument
def link(directory: str, source: str, name: str, targets: Sequence[str]) -> None:
    """Link a record to others, as NAME; a link that is there stays where it is.

    Example: filestore link data Cat/tom carer Human/lisa
    """

    def work(transaction: Transaction) -> None:
        key = locate(transaction, source)
        links = transaction.links(key)
        added = [locate(transaction, target) for target in targets]
        links[name] = list(dict.fromkeys([*links.get(name, ()), *added]))
        transaction.put_links(key, links)

    write(directory, work)


@click.command()
@directory_argument
@source_argument
@click.argument("name")
@targets_argument
def unlink(directory: str, source: str, name: str, targets: Sequence[str]) -> None:
    """Remove links of a record; the records that they lead to stay.

    Example: filestore unlink data Cat/tom carer Human/lisa
    """

    def work(transaction: Transaction) -> None:
        key = locate(transaction, source)
        links = transaction.links(key)
        for target in targets:
            there = [to for to in links.get(name, ()) if target in (to.link, to.uid)]
            if not there:
                raise Failure(
                    f"{key.link} has no link {layout.shown(name)} to {layout.shown(target)}: "
                    "show lists those that it has"
                )
            links[name] = [to for to in links[name] if to not in there]
        transaction.put_links(key, links)

    write(directory, work)

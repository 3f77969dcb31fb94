"""`rename-model` and `rename-property`: schema changes across a store, in one unit of work."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from filestore.cli.directory import complete_model, directory_argument, model_named, opened, write
from filestore.cli.terminal import Failure, Progress, count, say
from filestore.disk import documents, layout
from filestore.disk.layout import Key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from filestore.transaction import Transaction

_MODEL_NAME = layout.MODEL_NAME


@click.command()
@directory_argument
@click.argument("old", shell_complete=complete_model)
@click.argument("new")
@click.option("--merge", is_flag=True, help="NEW may have records already.")
def rename_model(directory: str, old: str, new: str, merge: bool) -> None:
    """Rename a model: its directory, its records, and every link to them.

    Example: filestore rename-model data Cat Feline
    """
    before, after = model_named(old), model_named(new)
    if before == after:
        raise click.UsageError("the two names are the same")

    def work(transaction: Transaction) -> tuple[int, int]:
        uids = transaction.uids(before)
        if not uids:
            raise Failure(f"there is no record of {layout.shown(before)}: ls shows what is there")
        if transaction.uids(after) and not merge:
            raise Failure(
                f"{layout.shown(after)} has records already: give --merge to add these to them"
            )
        series = transaction.files.series(before)
        with Progress("Renaming") as progress:
            for number, uid in enumerate(uids, 1):
                _move(transaction, Key(before, uid), Key(after, uid), series.get(uid, ()))
                progress(number)
            return len(uids), _redirect(transaction, before, after)

    records, links = write(directory, work)
    files = opened(directory).files
    with suppress(OSError):  # something else is in it
        os.rmdir(files.path(layout.directory_of(before)))
    say(f"{count(records, 'record')} renamed, {count(links, 'link')} changed")


def _move(transaction: Transaction, key: Key, to: Key, series: Sequence[str]) -> None:
    """Stage a record with all its files under another model; its links are redirected later."""
    if transaction.exists(to):
        raise Failure(f"{to.link} is there already: rename one of them; nothing was changed")
    document = transaction.document(key) or {}
    transaction.put_document(to, {**document, _MODEL_NAME: to.model})
    links = transaction.read(key.links)
    if links is not None:
        documents.decode_links(links, transaction.files.path(key.links))
        transaction.put_file(to, to.links, links)
    for name in series:
        data = transaction.read(key.series(name)) or b""
        documents.decode_points(data, transaction.files.path(key.series(name)))
        transaction.put_file(to, to.series(name), data)
    transaction.delete([key])


def _redirect(transaction: Transaction, before: str, after: str) -> int:
    """Stage every link to a record of one model as one to the other; how many there were."""
    changed = 0
    for source in _sources(transaction):
        links = transaction.links(source)
        hits = sum(to.model == before for keys in links.values() for to in keys)
        if hits:
            changed += hits
            transaction.put_links(
                source,
                {
                    name: [Key(after, to.uid) if to.model == before else to for to in keys]
                    for name, keys in links.items()
                },
            )
    return changed


def _sources(transaction: Transaction) -> Iterator[Key]:
    """The records that have a relationship index, staged ones too."""
    for model in transaction.models():
        for uid in transaction.uids(model):
            key = Key(model, uid)
            if transaction.read(key.links) is not None:
                yield key


@click.command()
@directory_argument
@click.argument("models", metavar="MODEL[,MODEL...]", shell_complete=complete_model)
@click.argument("old")
@click.argument("new")
def rename_property(directory: str, models: str, old: str, new: str) -> None:
    """Rename a property, relationship or time series in all records of a model.

    The files do not say which models derive from which: name all that have it.

    Example: filestore rename-property data Cat,Kitten age years
    """
    if _MODEL_NAME in (old, new):
        raise click.UsageError(f"{_MODEL_NAME} follows from the directory: use rename-model")
    if old == new:
        raise click.UsageError("the two names are the same")
    names = [model_named(model) for model in models.split(",")]

    def work(transaction: Transaction) -> int:
        with Progress("Renaming") as progress:
            return _rename(transaction, names, old, new, progress)

    say(f"{count(write(directory, work), 'record')} changed")


def _rename(
    transaction: Transaction, models: Sequence[str], old: str, new: str, progress: Progress
) -> int:
    changed = 0
    for model in models:
        series = transaction.files.series(model)
        for number, uid in enumerate(transaction.uids(model), 1):
            key = Key(model, uid)
            changed += _rename_in(transaction, key, series.get(uid, ()), old, new)
            progress(number)
    if not changed:
        raise Failure(f"no record of {', '.join(models)} has {layout.shown(old)}")
    return changed


def _rename_in(
    transaction: Transaction, key: Key, series: Sequence[str], old: str, new: str
) -> bool:
    document = transaction.document(key) or {}
    links = transaction.links(key)
    if old not in (*document, *links, *series):
        return False
    if new in (*document, *links, *series):
        raise Failure(
            f"{key.link} has {layout.shown(new)} already: rename that first; nothing was changed"
        )
    if old in document:
        transaction.put_document(key, _renamed(document, old, new))
    if old in links:
        transaction.put_links(key, _renamed(links, old, new))
    if old in series:
        data = transaction.read(key.series(old)) or b""
        documents.decode_points(data, transaction.files.path(key.series(old)))
        transaction.put_file(key, key.series(new), data)
        transaction.put_file(key, key.series(old), None)
    return True


def _renamed(members: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in members.items()}

"""`export` and `import`: a store as lines of JSON, one record a line with its links and series."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

import click

from filestore.cli.directory import complete_model, directory_argument, model_named, opened, write
from filestore.cli.terminal import Progress, count, json_safe, say, warn
from filestore.disk import documents, layout
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError, FileStoreError, RecordExistsError
from filestore.problems import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from filestore.snapshot import Snapshot
    from filestore.transaction import Transaction

_LINE = Path("a line")
_MEMBERS = {"model", "uid", "properties", "links", "series"}


@click.command()
@directory_argument
@click.argument("models", metavar="MODEL...", nargs=-1, shell_complete=complete_model)
@click.option(
    "-o", "--output", type=click.Path(allow_dash=True), default="-", help="Write to a file."
)
def export(directory: str, models: Sequence[str], output: str) -> None:
    """Write all records, or those of some models, as lines of JSON.

    A line holds model, uid, properties, links (if the record has a relationship index) and series
    (if it has any). The order is by model and uid, so that equal stores give equal bytes.

    Example: filestore export data > backup.jsonl
    """
    view = opened(directory).view()
    names = [model_named(model) for model in models] or view.models()
    with Progress("Exporting") as progress, _written(output) as to:
        on_terminal = output == "-" and sys.stdout.isatty()
        for number, line in enumerate(_lines(view, names), 1):
            to.write(json_safe(line.decode()).encode() if on_terminal else line)
            if number % 100 == 0:
                progress(number)


@contextmanager
def _written(path: str) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when it is whole; - is stdout."""
    if path == "-":
        yield sys.stdout.buffer
        return
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as device:
            yield device
        return
    temporary = f"{path}.{uuid4()}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _lines(view: Snapshot, models: Sequence[str]) -> Iterator[bytes]:
    for model in models:
        series = view.files.series(model)
        for uid in view.uids(model):
            key = Key(model, uid)
            names = sorted(series.get(uid, ()))
            record = view.consistent(key, lambda key=key, names=names: _record(view, key, names))  # type: ignore[misc]
            if record is not None:
                yield documents.encode_line(record)


def _record(view: Snapshot, key: Key, series: Sequence[str]) -> dict[str, Any] | None:
    properties = view.document(key)
    if properties is None:
        return None  # removed since it was listed
    record: dict[str, Any] = {"model": key.model, "uid": key.uid, "properties": properties}
    if view.read(key.links) is not None:
        links = view.links(key)
        record["links"] = {name: [to.link for to in keys] for name, keys in links.items()}
    points = {name: view.points(key, name) for name in series}
    points = {name: found for name, found in points.items() if found is not None}
    if points:
        record["series"] = points
    return record


@click.command("import")
@directory_argument
@click.argument("source", metavar="FILE", type=click.File("rb"), default="-")
@click.option(
    "--on-conflict",
    type=click.Choice(["fail", "skip", "replace"]),
    default="fail",
    show_default=True,
    help="What to do with a record that is there.",
)
def import_(directory: str, source: BinaryIO, on_conflict: str) -> None:
    """Read records as export writes them; all of them or, if one is wrong, none.

    Example: filestore import data backup.jsonl --on-conflict skip
    """

    def work(transaction: Transaction) -> tuple[int, int, int]:
        with Progress("Importing") as progress:
            return _import(transaction, source, on_conflict, progress)

    written, skipped, dangling = write(directory, work)
    say(f"{count(written, 'record')} imported, {skipped:,} skipped")
    if dangling:
        warn(f"filestore: links lead to {count(dangling, 'record')} not in the store: see check")


def _import(
    transaction: Transaction, source: BinaryIO, on_conflict: str, progress: Progress
) -> tuple[int, int, int]:
    path = Path(getattr(source, "name", "<stdin>"))
    seen: dict[Key, int] = {}
    homes = _homes(transaction)
    linked: set[Key] = set()
    skipped = 0
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        record = documents.decode_line(line.rstrip(b"\r\n"), path, number)
        try:
            key, links, series = _parsed(record)
        except FileStoreError as error:
            raise _wrong(path, number, reason(error)) from error
        if key in seen:
            raise _wrong(path, number, f"has {key.link} again, after line {seen[key]}")
        seen[key] = number
        home = homes.setdefault(key.uid, key.model)
        exists = home != key.model or transaction.exists(key)
        if exists and on_conflict == "skip":
            skipped += 1
            continue
        if exists and (on_conflict == "fail" or home != key.model):
            raise RecordExistsError(
                f"{path}, line {number}: {layout.directory_of(home)}/{key.uid} is there already: "
                "give --on-conflict, or take the line out; nothing was imported",
                model=home,
                uid=key.uid,
            )
        if exists:
            transaction.delete([key])
        transaction.put_document(key, record["properties"])
        if links is not None:
            transaction.put_file(key, key.links, documents.encode_links(links))
            linked.update(to for keys in links.values() for to in keys)
        for name, points in series.items():
            transaction.put_points(key, name, points)
        progress(number)
    dangling = sum(not transaction.exists(to) for to in linked)
    return len(seen) - skipped, skipped, dangling


def _homes(transaction: Transaction) -> dict[str, str]:
    """The model of every uid that is in use."""
    return {uid: model for model in transaction.models() for uid in transaction.uids(model)}


def _parsed(
    record: dict[str, Any],
) -> tuple[Key, documents.Links | None, dict[str, list[documents.Point]]]:
    """Make sure that a line is a record, and give its parts.

    Raises:
        FileStoreError: It is none; the text says why.
    """
    unknown = record.keys() - _MEMBERS
    if unknown:
        raise CorruptFileError(f"has {layout.shown(min(unknown))}, which is no part of a record")
    model, uid = record.get("model"), record.get("uid")
    if type(model) is not str or not layout.is_uid(uid):
        raise CorruptFileError("has no 'model' and 'uid' that can name a record")
    layout.directory_of(model)
    assert isinstance(uid, str)
    key = Key(model, uid)
    for name in ("properties", "links", "series"):
        if type(record.get(name, {})) is not dict:
            raise CorruptFileError(f"has no object for {name!r}")
    if "properties" not in record:
        raise CorruptFileError("has no 'properties'")
    if record["properties"].get("model_name", model) != model:
        raise CorruptFileError(f"says another model_name than the model {layout.shown(model)}")
    links = None
    if "links" in record:
        links = documents.decode_links(documents.encode_document(record["links"]), _LINE)
    series = {}
    for name, points in record.get("series", {}).items():
        key.series(name)
        if type(points) is not list or not all(type(point) is dict for point in points):
            raise CorruptFileError(f"has no list of points for {layout.shown(name)}")
        series[name] = documents.decode_points(documents.encode_points(points), _LINE)
    return key, links, series


def _wrong(path: Path, number: int, text: str) -> CorruptFileError:
    return CorruptFileError(
        f"{path}, line {number}: {text}: correct the line; nothing was imported",
        path=path,
        line=number,
    )

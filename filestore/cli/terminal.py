"""What a person sees: text that is safe to show, tables, progress, sparklines.

Records come from anywhere, so no text of theirs is shown before :func:`safe` has made its control
characters visible. Colour and boxes are for terminals; elsewhere the same is plain text.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

_WIDEST = 40
_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 40
# What takes less than this, in seconds, is done before a progress bar could be read.
_PATIENCE = 1.0

# What click is told about every command.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Failure(click.ClickException):
    """Something is wrong: one sentence, and exit status 1."""

    def show(self, file: Any = None) -> None:
        """Say it on stderr."""
        warn(f"filestore: {self.message}")


class _Warnings(logging.Handler):
    """Shows what the engine logs."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(f"filestore: {record.getMessage()}")


def show_warnings() -> None:
    """Let what the engine warns of reach the terminal, made safe."""
    logger = logging.getLogger("filestore")
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        logger.addHandler(_Warnings())


def safe(text: str) -> str:
    """A text on one line, with everything that a terminal could take for a command spelled out."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def count(number: int, noun: str) -> str:
    """A number of things, in words: ``1 link``, ``2,000 links``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(text: str = "") -> None:
    """Show a line on stdout."""
    click.echo(safe(text))


def warn(text: str) -> None:
    """Show a line on stderr."""
    click.echo(safe(text), err=True)


def say_json(value: Any) -> None:
    """Show a value as JSON that is safe for a terminal."""
    click.echo(json_safe(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)))


def json_safe(text: str) -> str:
    r"""A JSON text that says the same, with control characters as ``\uXXXX``."""
    return "\n".join(
        line if line.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in line)
        for line in text.split("\n")
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n] << 8 | units[n + 1]:04x}" for n in range(0, len(units), 2))


def cell(value: Any, *, whole: bool = False) -> str:
    """A JSON value as one line of text: texts as they are, everything else as JSON."""
    if value is None:
        return ""
    text = safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if whole or len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Show rows of safe texts under their columns.

    Args:
        columns: The headings.
        rows: The texts.
        right: The columns that hold numbers.
    """
    columns = [safe(column) for column in columns]
    if sys.stdout.isatty():
        _rich_table(columns, rows, right)
        return
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        cells = (
            text.rjust(width) if column in right else text.ljust(width)
            for column, text, width in zip(columns, line, widths, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _rich_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        shown.add_column(Text(column), justify="right" if column in right else "left")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console(file=sys.stdout).print(shown)


def sparkline(values: Sequence[Any]) -> str:
    """Numbers as a line of bars, the latest ones; empty if any is no number."""
    numbers = [value for value in values if type(value) in (int, float)]
    if not numbers or len(numbers) < len(values):
        return ""
    numbers = numbers[-_SPARKS:]
    low, high = min(numbers), max(numbers)
    if low == high:
        return _BARS[0] * len(numbers)
    top = len(_BARS) - 1
    return "".join(_BARS[round((n / 2 - low / 2) / (high / 2 - low / 2) * top)] for n in numbers)


class Progress:
    """A progress bar on stderr, for what takes longer than a second, if that is a terminal.

    Call it with what is done, and of how much, from any thread.

    Args:
        what: What is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._done = 0
        self._total: int | None = None
        self._bar: Any = None
        self._timer: threading.Timer | None = None
        self._mutex = threading.Lock()

    def __call__(self, done: int, total: int | None = None) -> None:
        """Note what is done, and of how much."""
        with self._mutex:
            self._done, self._total = done, total
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._timer = threading.Timer(_PATIENCE, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._mutex:
            self._timer = None
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        with self._mutex:
            if self._timer is None:
                return  # over meanwhile
            self._bar = Bar(console=Console(file=sys.stderr), transient=True)
            self._bar.add_task(self._what, completed=self._done, total=self._total)
            self._bar.start()

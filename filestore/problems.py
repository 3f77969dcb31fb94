"""What can be wrong with a data directory: a code for each, and where one was found.

The codes are part of the public interface: docs/check.md says of each what it means and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from filestore.errors import FileStoreError

CODES = {
    "FS001": "filestore.json cannot be read, or is wrong",
    "FS002": "the directory cannot be opened as a store",
    "FS003": "filestore.json is not canonical",
    "FS101": "an unfinished git merge",
    "FS102": "no readable JSON",
    "FS103": "JSON of the wrong shape",
    "FS104": "bytes that are not canonical",
    "FS105": "a number that cannot be kept exactly",
    "FS106": "a model name that differs from the directory",
    "FS107": "a line that is no point of a time series",
    "FS201": "a link to nowhere",
    "FS202": "a link that is no path of a record",
    "FS203": "a link that is there twice",
    "FS204": "a relationship index without a record",
    "FS205": "a time series without a record",
    "FS206": "a uid in several models",
    "FS207": "names that differ in case alone",
    "FS301": "something else where a file should be",
    "FS302": "something else where a model directory should be",
    "FS303": "a file that belongs to no record",
    "FS304": "a file that cannot be read",
    "FS401": "a leftover of a killed process",
    "FS402": "a damaged index",
    "FS403": "a commit that is not finished",
    "FS404": "a damaged log",
    "FS405": "a value that recovery kept aside",
    "FS406": "something else where runtime state should be",
}


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        path: The file, relative to the data directory.
        line: The line in it, counted from 1; None if it concerns the file as a whole.
        code: Which of :data:`CODES` it is.
        text: What is wrong, and what to do.
        repairable: Whether repair mends it.
    """

    path: str
    line: int | None
    code: str
    text: str
    repairable: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line or 1}: {self.code} {self.text}"

    @property
    def place(self) -> tuple[str, int, str, str]:
        """What problems are ordered by: path, line, code, text."""
        return (self.path, self.line or 0, self.code, self.text)


def reason(error: FileStoreError) -> str:
    """What an error says is wrong, without the place that its text begins with."""
    where = f"{error.path}" if error.line is None else f"{error.path}, line {error.line}"
    return error.message.removeprefix(where).lstrip(" :")

"""The state of what a data directory holds beside its records: manifest, log, index, leftovers."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from filestore.disk import documents, inspection, layout
from filestore.disk.files import Files
from filestore.disk.log import NO_LOG, Log
from filestore.disk.manifest import open_directory
from filestore.errors import CorruptFileError, MergeConflictError, StoreFormatError
from filestore.problems import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from filestore.disk.documents import Links
    from filestore.disk.layout import Key

    Report = Callable[..., None]

# A file that is being written is renamed within this time, in seconds.
_YOUNG = 60.0
# How long a commit of another process is given to be finished, in seconds, and the pause between.
_PATIENCE = 1.0
_PAUSE = 0.02


def check_manifest(files: Files, report: Report) -> bool:
    """Report what is wrong with ``filestore.json``.

    Returns:
        Whether the directory can be looked at any further.

    Raises:
        StoreFormatError: There is no such directory.
    """
    try:
        open_directory(files.root, uid=None, name=None, default_name="", read_only=True)
    except StoreFormatError as error:
        if not os.path.isdir(files.root):
            raise
        name = os.path.relpath(error.path or files.root, files.root)
        if name.startswith(f"{layout.RUNTIME}/"):
            return True  # check_runtime reports it, and it hides no record
        report(name, None, "FS002", reason(error))
        return False
    except CorruptFileError as error:
        code = "FS101" if isinstance(error, MergeConflictError) else "FS001"
        report(layout.MANIFEST, error.line, code, reason(error))
    except OSError as error:
        text = f"cannot be read ({error.strerror}): correct its permissions"
        report(layout.MANIFEST, None, "FS304", text)
    else:
        data = files.read(layout.MANIFEST)
        if data is not None and data != canonical_manifest(files):
            report(
                layout.MANIFEST,
                1,
                "FS003",
                "is not in canonical form: let repair rewrite it",
                repairable=True,
            )
    return True


def canonical_manifest(files: Files) -> bytes:
    """The bytes that ``filestore.json`` should have, given what it says."""
    data = files.read(layout.MANIFEST) or b"{}"
    document = documents.decode_document(data, files.path(layout.MANIFEST))
    return documents.encode_document(document)


def check_runtime(files: Files, log: Log, links: Mapping[Key, Links], report: Report) -> None:
    """Report what is wrong below ``.filestore``, given what the relationship files say."""
    for name in (layout.LOCK, layout.LOG, layout.INDEX):
        if files.exists(name) and not _is_regular(files, name):
            report(name, None, "FS406", "is no regular file: remove it, it is made anew")
    for name in (layout.TEMPORARY, layout.TAILS, layout.CONFLICTS, layout.REMOVED):
        if files.exists(name) and not _is_directory(files, name):
            report(name, None, "FS406", "is no directory of its own: move it away")
    if is_left_pending(log):
        report(
            layout.LOG,
            None,
            "FS403",
            "holds a commit that was interrupted: the next write, repair or recover finishes it",
            repairable=True,
        )
    if is_damaged(files, log):
        report(
            layout.LOG,
            None,
            "FS404",
            "is damaged, so a commit that was interrupted cannot be finished: "
            "let repair take it away",
            repairable=True,
        )
    damage = inspection.damage(files, links)
    if damage is not None:
        text = f"is damaged ({damage}): let repair or reindex make it anew"
        report(layout.INDEX, None, "FS402", text, repairable=True)
    for name in leftovers(files):
        text = "is what a killed process was writing: let repair take it away"
        report(name, None, "FS401", text, repairable=True)
    for name in kept_aside(files):
        report(
            name,
            None,
            "FS405",
            "is what an interrupted commit would have written to a file that was edited since: "
            "merge it by hand, then delete it",
        )


def readable_log(root: str) -> Log:
    """The log of a data directory; an empty one if something else is in its place."""
    files = Files(root)
    if files.exists(layout.LOG) and not _is_regular(files, layout.LOG):
        return Log(Files(f"{root}/{layout.TEMPORARY}"))  # where none is
    return Log(files)


def is_left_pending(log: Log) -> bool:
    """Tell whether the last commit is not applied, and nobody is at it."""
    marks = log.marks()
    deadline = time.monotonic() + _PATIENCE
    while marks.pending and log.marks() == marks:
        if time.monotonic() > deadline:
            return True
        time.sleep(_PAUSE)
    return False


def is_damaged(files: Files, log: Log) -> bool:
    """Tell whether there is a log that cannot be read as one."""
    if not _is_regular(files, layout.LOG) or log.marks() is not NO_LOG:
        return False
    return os.path.getsize(files.path(layout.LOG)) > 0


def leftovers(files: Files) -> list[str]:
    """The temporary files that nobody is writing any more."""
    oldest = time.time() - _YOUNG
    return [
        name
        for name in _below(files, layout.TEMPORARY)
        if _is_regular(files, name) and os.lstat(files.path(name)).st_mtime < oldest
    ]


def kept_aside(files: Files) -> list[str]:
    """The files that recovery did not write, because what they belong to was edited since."""
    return _below(files, layout.CONFLICTS)


def _below(files: Files, directory: str) -> list[str]:
    """The files below a directory, if it is a real one."""
    if not _is_directory(files, directory):
        return []
    return sorted(
        os.path.relpath(os.path.join(parent, name), files.root)
        for parent, _, names in os.walk(files.path(directory))
        for name in names
    )


def _is_directory(files: Files, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(files.path(name)).st_mode)
    except OSError:
        return False


def _is_regular(files: Files, name: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(files.path(name)).st_mode)
    except OSError:
        return False

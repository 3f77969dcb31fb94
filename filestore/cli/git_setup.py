"""``filestore git-setup``: lets git merge the files of records part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from filestore.cli.merge_driver import NAME, driver_command
from filestore.cli.terminal import CONTEXT
from filestore.disk import layout
from filestore.disk.files import Files
from filestore.disk.git import Git
from filestore.disk.manifest import ATTRIBUTES
from filestore.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Only what can be a record: other JSON files in the directory are merged as they always were.
_LINES = [f"/*/*.json merge={NAME}", f"/*/*.jsonl merge={NAME}"]

# A line that is no UTF-8 stays as it is.
_TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}

_SECTION = f"merge.{NAME}"
_SETTINGS = {
    f"{_SECTION}.name": "FileStore records, part by part",
    f"{_SECTION}.driver": driver_command(),
}
# Records look alike: one that is deleted and one that is new pass for a record that was renamed,
# and what another branch changed in the first would be merged into the second. Before git 2.50 only
# the strategy that is called recursive takes notice of merge.renames.
_NO_RENAMES = {"merge.renames": "false", "pull.twohead": "recursive"}
_OURS = f"{_SECTION}.set"


@click.command("git-setup", context_settings=CONTEXT)
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.option("--remove", is_flag=True, help="Undo it.")
def command(directory: str, remove: bool) -> None:
    """Let git merge records property by property, links as sets, and series by point.

    Writes which files to merge that way to .gitattributes in DIRECTORY, which is to be committed,
    and how to the configuration of this clone. It also keeps git from taking one record for
    another that was renamed when it merges. Doing it twice is doing it once.

    Example: filestore git-setup data
    """
    git = Git(directory)
    if remove:
        done = [*_remove_attributes(directory), *_remove_settings(git)]
    else:
        done = [*_add_attributes(directory), *_add_settings(git)]
    for sentence in done or ["nothing to do"]:
        click.echo(sentence)


def _add_attributes(directory: str) -> Iterable[str]:
    files = Files(directory)
    lines = (files.read(layout.ATTRIBUTES) or ATTRIBUTES).decode(**_TEXT).splitlines()
    missing = [line for line in _LINES if line not in lines]
    if missing:
        _write(files, [*lines, *missing])
        yield f"{files.path(layout.ATTRIBUTES)}: added the merge of records; commit it"


def _remove_attributes(directory: str) -> Iterable[str]:
    files = Files(directory)
    lines = (files.read(layout.ATTRIBUTES) or b"").decode(**_TEXT).splitlines()
    others = [line for line in lines if line not in _LINES]
    if others != lines:
        _write(files, others)
        yield f"{files.path(layout.ATTRIBUTES)}: removed the merge of records; commit it"


def _write(files: Files, lines: Iterable[str]) -> None:
    files.replace(layout.ATTRIBUTES, "".join(f"{line}\n" for line in lines).encode(**_TEXT))


def _add_settings(git: Git) -> Iterable[str]:
    changed = [name for name, value in _SETTINGS.items() if _setting(git, name) != value]
    for name in changed:
        git.run("config", "--local", name, _SETTINGS[name])
    if changed:
        yield f"git config: added the merge driver {NAME!r} to this clone"
    for name, value in _NO_RENAMES.items():
        found = _setting(git, name)
        if found is None:
            git.run("config", "--local", name, value)
            git.run("config", "--local", "--add", _OURS, name)
            yield f"git config: set {name} to {value} in this clone"
        elif found != value:
            yield (
                f"git config: {name} is {found} in this clone and stays so, but a merge may then "
                "take a new record for a deleted one that was renamed"
            )


def _remove_settings(git: Git) -> Iterable[str]:
    for name in (_setting(git, _OURS) or "").split():
        if _setting(git, name) == _NO_RENAMES[name]:
            git.run("config", "--local", "--unset-all", name)
            yield f"git config: {name} is as it was"
    if any(_setting(git, name) is not None for name in _SETTINGS):
        git.run("config", "--local", "--remove-section", _SECTION)
        yield f"git config: removed the merge driver {NAME!r} from this clone"


def _setting(git: Git, name: str) -> str | None:
    """What the clone's own configuration says, or None if it does not say."""
    try:
        return git.run("config", "--local", "--get-all", name).removesuffix("\n")
    except GitError:
        return None

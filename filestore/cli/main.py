"""The command line: its commands by name, and how it ends when something is wrong."""

from __future__ import annotations

import errno
import io
import sys
import traceback
from importlib import import_module
from typing import Any

import click

import filestore
from filestore.cli.terminal import CONTEXT, Failure, warn
from filestore.errors import FileStoreError

# Loaded when they are used, so that each command starts as fast as it can.
COMMANDS = {
    "init": "filestore.cli.upkeep:init",
    "ls": "filestore.cli.reading:ls",
    "show": "filestore.cli.reading:show",
    "stats": "filestore.cli.statistics:stats",
    "put": "filestore.cli.writing:put",
    "rm": "filestore.cli.writing:rm",
    "link": "filestore.cli.writing:link",
    "unlink": "filestore.cli.writing:unlink",
    "check": "filestore.cli.upkeep:check",
    "repair": "filestore.cli.upkeep:repair",
    "diff": "filestore.cli.diff:command",
    "log": "filestore.cli.log:command",
    "git-setup": "filestore.cli.git_setup:command",
    "merge-driver": "filestore.cli.merge_driver:command",
    "export": "filestore.cli.transfer:export",
    "import": "filestore.cli.transfer:import_",
    "rename-model": "filestore.cli.renaming:rename_model",
    "rename-property": "filestore.cli.renaming:rename_property",
    "reindex": "filestore.cli.upkeep:reindex",
    "recover": "filestore.cli.upkeep:recover",
}


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, as the help lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error becomes one sentence and status 1."""
        try:
            return super().invoke(ctx)
        except (FileStoreError, OSError, RecursionError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # nobody reads on, which is no error
            if ctx.params.get("debug"):
                for line in "".join(traceback.format_exception(error)).splitlines():
                    warn(line)
            raise Failure(str(error)) from error


@click.command(
    cls=Commands,
    context_settings=CONTEXT,
    epilog="Exit status: 0 if all is well, 1 if something is wrong, 2 if the command was.",
)
@click.option("--debug", is_flag=True, help="Show where in the program an error comes from.")
@click.version_option(filestore.__version__, prog_name="filestore")
def cli(debug: bool) -> None:
    """Work with a data directory of FileStore from a shell.

    Nothing here needs the model classes: it works on the files. Writes are atomic, and safe beside
    programs that use the directory at the same time.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal knows UTF-8


def main() -> None:
    """Run the command that the shell asks for, and end the process."""
    cli.main(prog_name="filestore")

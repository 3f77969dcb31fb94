"""Runs the examples of a Markdown file and writes what they really print into it.

``python tests/documentation.py README.md`` brings a file up to date. Its fenced blocks mean:

- ``python``: runs, all in one namespace; ``await`` is allowed as in a notebook. A block that starts
  with ``# name.py`` is saved under that name instead.
- ``text``: what the block before it printed.
- ``console``: commands after ``$``, each with what it printed.
- ``sh``: commands to be shown only.
- ``ini``: saved under the name in its first line, as the ``python`` blocks that start with one.

All of it runs in an empty directory that holds a copy of ``fixtures/``, and is shown as
``/home/ann``.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.(?:py|ini))\n")

# What would make git and pytest behave differently here and there.
_HIDDEN = re.compile(r"GIT_|PYTEST_|(?:CI|BUILD_NUMBER)$")

_COMMITTER = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in {
        "NAME": "Ann",
        "EMAIL": "ann@example.org",
        "DATE": "2024-05-01T12:00:00Z",
    }.items()
}


def render(text: str) -> str:
    """The text with all output in it made anew."""
    with tempfile.TemporaryDirectory() as directory, chdir(directory), asyncio.Runner() as runner:
        shutil.copytree(FIXTURES, "fixtures")
        sys.path.insert(0, "")
        examples = _Examples(Path.cwd(), runner)
        rendered = _BLOCK.sub(examples.render, text)
        examples.check_shown()
        return rendered


class _Examples:
    """The examples of one text, run in order."""

    def __init__(self, directory: Path, runner: asyncio.Runner) -> None:
        self._directory = directory
        self._runner = runner
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not _HIDDEN.match(name)},
            **_COMMITTER,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "HOME": str(directory),
            "PATH": path,
            "PYTEST_ADDOPTS": "-o asyncio_default_fixture_loop_scope=function",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "filestore.pytest_plugin,pytest_asyncio.plugin",
            "PYTHONDONTWRITEBYTECODE": "1",  # a file may change twice in a second
            "COLUMNS": "80",
        }

    def render(self, block: re.Match[str]) -> str:
        language, body = block.groups()
        match language:
            case "python" | "ini":
                self.check_shown()
                self._run_python(body)
            case "console":
                self.check_shown()
                body = "".join(map(self._run_command, re.findall(r"^\$ (.*)$", body, re.MULTILINE)))
            case "text":
                body, self._printed = self._printed, ""
            case "sh":
                pass
            case _:
                raise ValueError(f"a block of unknown kind {language!r}:\n{body}")
        return f"```{language}\n{body}```"

    def check_shown(self) -> None:
        """Make sure that nothing was printed that the text does not show."""
        if self._printed:
            raise ValueError(
                f"a python block prints this, and no text block shows it:\n{self._printed}"
            )

    def _run_python(self, body: str) -> None:
        file = _FILE.match(body)
        if file is not None:
            Path(file[1]).write_text(body, "utf-8")
            return
        code = compile(body, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with redirect_stdout(io.StringIO()) as output:
            result = eval(code, self._namespace)
            if inspect.iscoroutine(result):
                self._runner.run(result)
        self._printed = self._shown(output.getvalue())

    def _run_command(self, command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return self._shown(f"$ {command}\n{done.stdout}")

    def _shown(self, output: str) -> str:
        output = output.replace(str(self._directory), "/home/ann")
        return re.sub(r"\bin \d+\.\d\ds\b", "in 0.01s", output)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name).absolute()
        path.write_text(render(path.read_text("utf-8")), "utf-8")

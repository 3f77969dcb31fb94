"""The main job on real data: every country of the world and its subdivisions, as files.

Run it with ``make demo``. It makes ``demo-data/`` in the current directory, anew each time.
``demo.py FR CH LU`` loads these countries only.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
from itertools import count
from pathlib import Path
from time import perf_counter

from constelite.models import ref
from constelite.store.queries import PropertyQuery
from countries import Country, Subdivision, load

from filestore import FileStore

DATA = Path("demo-data")
OLD = Path("demo-data.old")


async def main() -> None:
    """Load the data, then show what it looks like and what one does with it, step by step."""
    print(paint(BOLD, "FileStore: a constelite store whose database is a directory of JSON files"))
    set_aside()
    store = FileStore(DATA)

    step("Load every country and its subdivisions, in one transaction")
    start = perf_counter()
    loaded = await load(store, sys.argv[1:])
    show(f"{loaded:,} records in {perf_counter() - start:.1f} s")

    step("The directory is the whole database")
    show_tree()

    step("A record is one file, and its links are another")
    show_file("Subdivision/FR-75C.json")
    show_file("Subdivision/FR-75C.rels.json")

    step("Query: which subdivisions are cantons?")
    show_code('cantons = await store.query("Subdivision", True, PropertyQuery(type="Canton"))')
    cantons = await store.query("Subdivision", True, PropertyQuery(type="Canton"))
    for uid in dict.fromkeys(canton.country[0].uid for canton in cantons):
        country = await store.get(ref(Country, uid, store))
        names = [canton.name for canton in cantons if canton.country[0].uid == uid]
        show(f"{country.name}, {len(names)}: {', '.join(names)}")

    step("Backref: what is Île-de-France made of? Its own files do not say, its parts' files do")
    show_code('region = await store.get(ref(Subdivision, "FR-IDF", store))')
    region = await store.get(ref(Subdivision, "FR-IDF", store))
    show_code("parts = await store.bulk_get(region.parts)")
    parts = await store.bulk_get(region.parts)
    show(", ".join(part.name for part in parts))

    step("Keep it in git")
    git("init", "--quiet")
    git("config", "user.name", "Demo")
    git("config", "user.email", "demo@example.org")
    git("add", ".")
    git("commit", "--quiet", "--message=The world")
    show_git("log", "--oneline", "--shortstat")

    step("Edit a file by hand: the next read sees it, and git can take it back")
    paris = ref(Subdivision, "FR-75C", store)
    file = DATA / "Subdivision/FR-75C.json"
    file.write_text(file.read_text("utf-8").replace("Paris", "Lutetia"), "utf-8")
    show(f"In an editor, in {file}: Paris becomes Lutetia.")
    show_code("(await store.get(paris)).name")
    show(repr((await store.get(paris)).name))
    show_git("checkout", "--quiet", ".")
    show_code("(await store.get(paris)).name")
    show(repr((await store.get(paris)).name))

    step("Patch a record: the diff says what changed, and nothing else")
    show_code('france = Country(motto="Liberté, égalité, fraternité", capital=[paris])')
    france = Country(motto="Liberté, égalité, fraternité", capital=[paris])
    show_code('await store.patch(ref(france, "FR", store))')
    await store.patch(ref(france, "FR", store))
    show_git("diff")

    print(f"\n{DATA}/ stays, for you to look around.")
    shutil.rmtree(OLD, ignore_errors=True)


def set_aside() -> None:
    """Make room for the new data; the old is removed at the end.

    ext4 makes new files several times slower for minutes after thousands were removed.
    """
    shutil.rmtree(OLD, ignore_errors=True)
    if DATA.exists():
        DATA.rename(OLD)


# -- how it is printed -----------------------------------------------------------------------------

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
BOLD, CYAN = "\033[1m", "\033[36m"
INDENT = "   "
WIDTH = 84
numbers = count(1)


def paint(colour: str, text: str) -> str:
    """The text in a colour, if the output is a terminal."""
    return f"{colour}{text}\033[0m" if COLOUR else text


def step(title: str) -> None:
    """Print the heading of a step."""
    print(f"\n{paint(BOLD, f'{next(numbers)}. {title}')}\n", flush=True)


def show(text: str) -> None:
    """Print text below a heading; long lines are wrapped."""
    for line in text.splitlines():
        print(textwrap.indent(textwrap.fill(line, WIDTH, break_on_hyphens=False), INDENT))


def show_code(line: str) -> None:
    """Print a line of Python or of shell, as typed."""
    prompt = "" if line.startswith("$") else ">>> "
    print(f"{INDENT}{paint(CYAN, prompt + line)}")


def show_file(name: str) -> None:
    """Print one file of the data directory."""
    show_code(f"$ cat {DATA / name}")
    print(textwrap.indent((DATA / name).read_text("utf-8"), INDENT), end="")


def show_tree() -> None:
    """Print the data directory, the first files of each model only."""
    print(f"{INDENT}{DATA}/")
    for model in sorted(path for path in DATA.iterdir() if path.is_dir() and path.name[0] != "."):
        names = sorted(os.listdir(model))
        print(f"{INDENT}├── {model.name}/")
        for name in names[:3]:
            print(f"{INDENT}│   ├── {name}")
        print(f"{INDENT}│   └── … {len(names) - 3:,} more")
    print(f"{INDENT}├── .filestore/           lock, log and index, which git ignores")
    print(f"{INDENT}└── filestore.json        which store this is")


def git(*arguments: str) -> str:
    """Run git in the data directory, whatever repository or configuration is around it."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    colours = ["-c", "color.ui=always"] if COLOUR else []
    return subprocess.run(
        ["git", *colours, *arguments],
        cwd=DATA,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def show_git(*arguments: str) -> None:
    """Run git and print its output."""
    show_code(f"$ git {' '.join(arguments)}")
    print(textwrap.indent(git(*arguments), INDENT), end="")


asyncio.run(main())

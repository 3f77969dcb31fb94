"""A disk without room: the store stays whole, and works again as soon as there is room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.privileged

PROGRAM = """
import asyncio, shutil, sys
from pathlib import Path
from constelite.models import ref
from filestore import CommitPendingError, FileStore
from tests.faults.scenarios import contents, visible
from tests.models import Food, Page, Book

root = Path(sys.argv[1]) / "data"

async def fill() -> None:
    store = FileStore(root)
    await store.query("Food", include_states=False)
    kept = pending = refused = 0
    for number in range(4000):
        before = visible(root)
        book = Book(title="x" * 400, pages=[ref(Page(number=n)) for n in range(4)])
        try:
            await store.put(ref(book))
            kept += 1
        except CommitPendingError:
            pending += 1
            assert visible(root) != before or pending > 1
        except OSError as error:
            refused += 1
            assert visible(root) == before, "what was refused has not happened"
        if pending + refused == 5:
            break
    seen = visible(root)
    books = [name for name in seen if name.startswith("Book/") and name.count(".") == 1]
    for name in books:
        assert len([p for p in seen if p.startswith("Page/")]) == 4 * len(books)
    shutil.rmtree(Path(sys.argv[1]) / "ballast")
    await store.put(ref(Food(name="there is room")))
    assert set(seen) <= set(contents(root))
    assert {k: v for k, v in contents(root).items() if k in seen} == seen
    print("kept", kept, "pending", pending, "refused", refused)

asyncio.run(fill())
"""


@pytest.mark.parametrize("limit", ["size=256k", "nr_inodes=120"], ids=["blocks", "inodes"])
def test_a_full_disk(limit: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    mounted = tmp_path / "disk"
    mounted.mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    script = (
        f"mount -t tmpfs -o {limit} tmpfs {mounted} && mkdir {mounted}/ballast "
        f"&& for n in $(seq 20); do head -c 4000 /dev/zero > {mounted}/ballast/$n; done "
        f"&& exec {sys.executable} {tmp_path}/program.py {mounted}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert counts["kept"] > 0
    assert counts["pending"] + counts["refused"] == 5

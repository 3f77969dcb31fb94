"""Golden directories: what fails, what the failure says, and what an update writes."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.directories import listing, write
from tests.plugin.conftest import content

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project

ADOPTION = """
@pytest.mark.filestore("cats")
def test_adoption(filestore):
    store = filestore
    ben = ref(Human, uid="ben", store=store)
    asyncio.run(store.patch(ref(Cat(age=AGE, carer=[ben]), uid="snowball", store=store)))
    filestore.assert_matches("expected/after-adoption")
"""


@pytest.fixture
def adoption(project: Project) -> Path:
    """A test whose golden directory is right."""
    project.write("test_it.py", ADOPTION.replace("AGE", "4"))
    project.run("--filestore-update").assert_outcomes(passed=1)
    return project.path / "expected" / "after-adoption"


def lines(result: pytest.RunResult) -> list[str]:
    """The lines of the failure itself."""
    marked = [line[4:] for line in result.outlines if line.startswith("E   ")]
    return dedent("\n".join(marked)).splitlines()


# -- matching --------------------------------------------------------------------------------------


def test_a_golden_directory_that_is_missing_is_a_failure(project: Project) -> None:
    project.write("test_it.py", ADOPTION.replace("AGE", "4"))
    before = listing(project.path / "fixtures")
    result = project.run()
    result.assert_outcomes(failed=1)
    [line] = lines(result)
    assert line == (
        "AssertionError: there is no golden directory expected/after-adoption or "
        "fixtures/expected/after-adoption: run this test with --filestore-update to write it, "
        "then look at it and commit it"
    )
    assert not (project.path / "expected").exists()
    assert listing(project.path / "fixtures") == before


def test_the_same_test_matches_from_then_on(project: Project, adoption: Path) -> None:
    before = listing(adoption)
    project.run().assert_outcomes(passed=1)
    assert listing(adoption) == before
    (adoption / "README").write_text("What Snowball's adoption leads to.")
    (adoption / "filestore.json").unlink()  # which store it is makes no difference
    project.run().assert_outcomes(passed=1)


def test_a_golden_directory_may_be_among_the_fixtures(project: Project, adoption: Path) -> None:
    adoption.parent.rename(project.path / "fixtures" / "expected")
    project.run().assert_outcomes(passed=1)


def test_a_failure_shows_the_line_of_the_test(project: Project, adoption: Path) -> None:
    project.write("test_it.py", ADOPTION.replace("AGE", "5"))
    before = listing(adoption)
    result = project.run()
    result.assert_outcomes(failed=1)
    assert lines(result) == [
        (
            "AssertionError: the store differs from expected/after-adoption: "
            "Cat/snowball.age is 5, not 4"
        ),
        "(- expected, + found; --filestore-update writes what was found, if that is right)",
        "  Cat/snowball",
        "-   age: 4",
        "+   age: 5",
    ]
    assert "golden.py" not in result.stdout.str()
    result.stdout.fnmatch_lines([">*filestore.assert_matches(*", "test_it.py:*: AssertionError"])
    assert listing(adoption) == before


def test_what_the_failure_says_most_important_first(project: Project) -> None:
    golden = project.path / "golden"
    write(golden / "Cat" / "tom.json", {"name": "Tom", "age": 3})
    write(golden / "Cat" / "tom.rels.json", {"likes": ["Food/a", "Food/b"], "kittens": []})
    (golden / "Cat" / "tom.weight.jsonl").write_text(
        '{"timestamp": 0.0, "value": 1.0}\n{"timestamp": 1.0, "value": 1.0}\n'
    )
    for uid in "ab":
        write(golden / "Food" / f"{uid}.json", {})
    write(golden / "Human" / "lisa.json", {"name": "Lisa"})
    project.write(
        "test_it.py",
        """
        from tests.stock import weights

        def test_it(filestore):
            async def fill():
                a, b, c = [await filestore.create(Food(), uid=uid) for uid in "abc"]
                cat = Cat(name="Tom", likes=[b, a, c], weight=weights((1, 2.0), (2, 2.5)))
                await filestore.create(cat, uid="tom")
            asyncio.run(fill())
            filestore.assert_matches("golden")
        """,
    )
    result = project.run()
    assert lines(result)[0].endswith("golden: Human/lisa is missing, and 8 more differences")
    assert lines(result)[2:] == [
        '- Human/lisa  {"name": "Lisa"}',
        "+ Food/c  {}",
        "  Cat/tom",
        "-   age: 3",
        "-   kittens: []",
        "+   likes: Food/c",
        '-   likes: ["Food/a", "Food/b"]',
        '+   likes: ["Food/b", "Food/a"]',
        "-   weight at 0.0: 1.0",
        "-   weight at 1.0: 1.0",
        "+   weight at 1.0: 2.0",
        "+   weight at 2.0: 2.5",
    ]


def test_long_failures_are_cut_unless_verbose(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write(project.path / "golden" / "Food" / f"f{number:02}.json", {"name": "x" * 200})
    text = "def test_it(filestore): filestore.assert_matches('golden')"
    project.write("test_it.py", text)
    result = project.run()
    assert len(lines(result)) == 2 + 15 + 1
    assert lines(result)[-1] == "… 25 more differences: -v shows all"
    assert all(len(line) < 120 for line in lines(result)[2:])
    assert len(lines(project.run("-v"))) == 2 + 40
    monkeypatch.setenv("CI", "true")
    assert len(lines(project.run())) == 2 + 40


def test_a_file_that_cannot_be_read_fails(project: Project, adoption: Path) -> None:
    (adoption / "Cat" / "felix.json").write_text("{")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert re.search(r"felix\.json, line 1: is no valid JSON", lines(result)[0])


def test_masks(project: Project, adoption: Path) -> None:
    project.write(
        "test_it.py",
        ADOPTION.replace("AGE", "5").replace('adoption")', "adoption\", ignore=('Cat.age',))"),
    )
    project.run().assert_outcomes(passed=1)


# -- updating --------------------------------------------------------------------------------------


def test_an_update_writes_a_store_and_names_every_path(project: Project) -> None:
    project.write("test_it.py", ADOPTION.replace("AGE", "4"))
    before = listing(project.cats)
    result = project.run("--filestore-update")
    result.assert_outcomes(passed=1)
    written = [line.split()[1] for line in result.outlines if line.startswith("wrote ")]
    golden = project.path / "expected" / "after-adoption"
    assert sorted(written) == sorted(f"expected/after-adoption/{name}" for name in content(golden))
    assert content(golden).keys() == content(project.cats).keys()
    result.stdout.fnmatch_lines(["*= golden directories =*"])
    assert listing(project.cats) == before


def test_an_update_of_what_matches_writes_nothing(project: Project, adoption: Path) -> None:
    before = listing(adoption)
    result = project.run("--filestore-update")
    result.assert_outcomes(passed=1)
    assert listing(adoption) == before
    assert "golden directories" not in result.stdout.str()


def test_an_update_touches_only_files_that_differ(project: Project, adoption: Path) -> None:
    felix = adoption / "Cat" / "felix.json"
    felix.write_text('{"age":5,  "name": "F\\u00e9lix"}')  # by hand, and right
    (adoption / "Dog").mkdir()
    write(adoption / "Dog" / "rex.json", {"name": "Rex"})
    write(adoption / "Dog" / "rex.rels.json", {"likes": []})
    (adoption / "Dog" / "rex.weight.jsonl").write_text('{"timestamp": 0.0, "value": 1.0}\n')
    write(adoption / "Cat" / "snowball.json", {"name": "Snowball", "age": 3, "gone": 1})
    (adoption / "Cat" / "snowball.old.jsonl").write_text('{"timestamp": 0.0, "value": 1.0}\n')
    (adoption / "Human" / "ben.json").write_text("<<<<<<< ours\n")
    (adoption / "README").write_text("mine")
    before = listing(adoption)
    result = project.run("--filestore-update")
    result.assert_outcomes(passed=1)
    changed = [line for line in result.outlines if line.startswith(("wrote", "removed"))]
    assert sorted(changed) == [
        "removed expected/after-adoption/Cat/snowball.old.jsonl",
        "removed expected/after-adoption/Dog/rex.json",
        "removed expected/after-adoption/Dog/rex.rels.json",
        "removed expected/after-adoption/Dog/rex.weight.jsonl",
        "wrote expected/after-adoption/Cat/snowball.json",
        "wrote expected/after-adoption/Human/ben.json",
    ]
    after = listing(adoption)
    assert not (adoption / "Dog").exists()
    kept = {name for name in before if after.get(name) == before[name]}
    assert {"README", "Cat/felix.json", "Cat/snowball.rels.json", "Human/ann.json"} <= kept
    project.run().assert_outcomes(passed=1)


def test_an_update_keeps_what_is_masked(project: Project, adoption: Path) -> None:
    masked = ADOPTION.replace('adoption")', "adoption\", ignore=['*.age', 'Cat.carer'])")
    project.write("test_it.py", masked.replace("AGE", "7"))
    write(adoption / "Cat" / "snowball.json", {"name": "Snowy", "age": 4})
    write(adoption / "Cat" / "snowball.rels.json", {"carer": ["Human/ann"]})
    project.run("--filestore-update").assert_outcomes(passed=1)
    assert b'"age": 4' in (adoption / "Cat" / "snowball.json").read_bytes()
    assert b'"name": "Snowball"' in (adoption / "Cat" / "snowball.json").read_bytes()
    assert b'"Human/ann"' in (adoption / "Cat" / "snowball.rels.json").read_bytes()
    project.run().assert_outcomes(passed=1)


def test_an_update_writes_what_is_masked_where_there_is_nothing(project: Project) -> None:
    project.write(
        "test_it.py",
        ADOPTION.replace("AGE", "7").replace('adoption")', "adoption\", ignore=['Cat.age'])"),
    )
    project.run("--filestore-update").assert_outcomes(passed=1)
    snowball = project.path / "expected" / "after-adoption" / "Cat" / "snowball.json"
    assert b'"age": 7' in snowball.read_bytes()


def test_an_empty_store_has_a_golden_directory_too(project: Project) -> None:
    project.write("test_it.py", "def test_it(filestore): filestore.assert_matches('empty')")
    project.run("--filestore-update").assert_outcomes(passed=1)
    assert sorted(content(project.path / "empty")) == [".gitattributes", "filestore.json"]
    project.run().assert_outcomes(passed=1)


def test_an_update_never_writes_what_the_store_started_from(project: Project) -> None:
    project.write(
        "test_it.py", ADOPTION.replace("AGE", "4").replace("expected/after-adoption", "cats")
    )
    before = listing(project.cats)
    result = project.run("--filestore-update")
    result.assert_outcomes(failed=1)
    assert "not updated: the store started from this very directory" in lines(result)[1]
    assert listing(project.cats) == before


@pytest.mark.parametrize("first", [4, 5])
def test_two_tests_do_not_overwrite_each_other(
    project: Project, adoption: Path, first: int
) -> None:
    second = ADOPTION.replace("test_adoption", "test_other").replace("AGE", "6")
    project.write("test_it.py", ADOPTION.replace("AGE", str(first)) + second)
    result = project.run("--filestore-update")
    result.assert_outcomes(passed=1, failed=1)
    assert "it holds what test_it.py::test_adoption expects" in lines(result)[1]
    assert f'"age": {first}'.encode() in (adoption / "Cat" / "snowball.json").read_bytes()


def test_an_update_does_not_write_what_cannot_be_read(project: Project, adoption: Path) -> None:
    project.write(
        "test_it.py",
        """
        @pytest.mark.filestore("cats")
        def test_it(filestore):
            (filestore.root / "Cat" / "felix.json").write_text("{")
            filestore.assert_matches("expected/after-adoption")
        """,
    )
    before = listing(adoption)
    result = project.run("--filestore-update")
    result.assert_outcomes(failed=1)
    assert "not updated: the store has files that cannot be read" in lines(result)[1]
    assert listing(adoption) == before


def test_an_update_follows_no_link_out_of_the_directory(project: Project, adoption: Path) -> None:
    outside = project.path / "outside.json"
    outside.write_text("{}")
    (adoption / "Cat" / "snowball.json").unlink()
    (adoption / "Cat" / "snowball.json").symlink_to(outside)
    project.run("--filestore-update").assert_outcomes(passed=1)
    assert outside.read_text() == "{}"
    assert not (adoption / "Cat" / "snowball.json").is_symlink()


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("-n2",), ("-n1", "--dist=loadfile"), ("--dist=each",)])
def test_no_update_under_xdist(
    project: Project, adoption: Path, arguments: tuple[str, ...]
) -> None:
    project.write("test_it.py", ADOPTION.replace("AGE", "5"))
    before = listing(adoption)
    result = project.run("--filestore-update", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --filestore-update writes *: run it with -n 0"])
    assert listing(adoption) == before
    project.run("--filestore-update", "-n0").assert_outcomes(passed=1)
    assert listing(adoption) != before


def test_no_update_in_ci_unless_forced(
    project: Project, adoption: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("test_it.py", ADOPTION.replace("AGE", "5"))
    monkeypatch.setenv("CI", "true")
    before = listing(adoption)
    result = project.run("--filestore-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --filestore-update does not run in CI*"])
    assert listing(adoption) == before
    project.run("--filestore-force-update").assert_outcomes(passed=1)
    assert listing(adoption) != before
    monkeypatch.setenv("CI", "false")
    project.write("test_it.py", ADOPTION.replace("AGE", "6"))
    project.run("--filestore-update").assert_outcomes(passed=1)


def test_a_store_that_lost_its_manifest_has_a_golden_directory_too(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        @pytest.mark.filestore("cats")
        def test_it(filestore):
            (filestore.root / ".gitattributes").unlink()
            (filestore.root / "filestore.json").unlink()
            filestore.assert_matches("golden")
        """,
    )
    project.run("--filestore-update").assert_outcomes(passed=1)
    golden = content(project.path / "golden")
    assert golden.keys() == content(project.cats).keys() - {".gitattributes", "filestore.json"}

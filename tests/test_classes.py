"""Classes by name: the newest definition wins, however it came about and went away."""

from __future__ import annotations

import gc
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

from constelite.models import AutoResolveBaseModel, StateModel
from pydantic.v1 import create_model

from filestore import classes
from tests.models import Cat, Creature, Kitten

if TYPE_CHECKING:
    import pytest


def define(name: str, *bases: type, module: str = __name__) -> Any:
    """Define a class, as running a cell of a notebook does."""
    return create_model(name, __base__=bases or StateModel, __module__=module)


def test_the_newest_of_a_name_is_found() -> None:
    assert classes.class_named("ClassOfTest") is None
    first = define("ClassOfTest")
    assert classes.class_named("ClassOfTest") is first
    second = define("ClassOfTest")
    assert classes.class_named("ClassOfTest") is second
    third = define("ClassOfTest", define("BaseOfTest", Creature))
    assert classes.class_named("ClassOfTest") is third
    assert first is not second
    assert classes.published_classes().count(third) == 1
    assert first not in classes.published_classes()


def test_of_classes_met_together_the_newest_of_one_base_wins() -> None:
    made = [define("MetTogether") for _ in range(3)]
    assert classes.class_named("MetTogether") is made[-1]


def test_of_classes_met_together_the_one_in_its_module_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cell that defines base and subclass was run twice before anybody asked."""
    cell = ModuleType("cell_of_test")
    monkeypatch.setitem(sys.modules, "cell_of_test", cell)
    other_base = define("OtherBaseOfTest", module="cell_of_test")
    old_base = define("CellBaseOfTest", module="cell_of_test")
    kept = [old_base, define("InCell", old_base, module="cell_of_test")]
    cell.InCell = define("InCell", other_base, module="cell_of_test")  # type: ignore[attr-defined]
    assert classes.class_named("InCell") is cell.InCell
    assert len(kept) == 2


def test_a_class_that_is_gone_is_not_found() -> None:
    passing = [define("PassingOfTest")]
    assert classes.class_named("PassingOfTest") is passing[0]
    assert "PassingOfTest" in classes.subclass_names(StateModel)
    passing.clear()
    gc.collect()
    assert classes.class_named("PassingOfTest") is None
    assert "PassingOfTest" not in classes.subclass_names(StateModel)


def test_subclass_names_and_family() -> None:
    assert classes.subclass_names(Kitten) == ["Kitten"]
    assert classes.subclass_names(Creature)[:3] == ["Creature", "Cat", "Kitten"]
    assert classes.family(Cat)[0] == "Cat"
    assert set(classes.family(Cat)) >= {"Cat", "Kitten", "Creature", "StateModel"}
    late = define("LateCat", Cat)
    assert "LateCat" in classes.subclass_names(Creature)
    assert "LateCat" in classes.family(Creature)
    assert classes.family(late) == ["LateCat", "Cat", "Creature", "StateModel"]


def test_a_class_defined_again_keeps_the_subclasses_of_the_old_one() -> None:
    old = define("AgainOfTest")
    below = define("BelowOfTest", old)
    new = define("AgainOfTest")
    assert classes.subclass_names(new) == ["AgainOfTest", "BelowOfTest"]
    assert classes.is_a(below, "AgainOfTest")
    assert not classes.is_a(new, "BelowOfTest")


def test_nested_models_are_found_as_constelite_resolves_them() -> None:
    nested = define("NestedOfTest", AutoResolveBaseModel)
    assert classes.nested_class_named("NestedOfTest") is nested
    assert classes.class_named("NestedOfTest") is None
    assert classes.nested_class_named("Cat") is Cat


def test_threads_agree() -> None:
    made = []

    def work(number: int) -> None:
        own = define(f"ThreadOfTest{number}")
        for _ in range(20):
            made.append(define("ThreadOfTest"))
            assert classes.class_named(own.__name__) is own
            assert classes.class_named("ThreadOfTest") is not None

    errors: list[Any] = []
    hook, threading.excepthook = threading.excepthook, errors.append
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threading.excepthook = hook
    assert errors == []
    last = define("ThreadOfTest")
    assert classes.class_named("ThreadOfTest") is last

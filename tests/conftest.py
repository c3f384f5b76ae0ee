"""Settings that must stand before scikit-learn and scipy are imported; shared fixtures."""

import gc
import importlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers must not share cores with threads

import pytest

pytest.register_assert_rewrite("families")

from families import (  # noqa: E402 - after the settings above
    EACH_CLASS,
    FEW_LESSONS,
    FEW_TREES,
    GEOMETRIC,
    MAKERS,
    Fitted,
    make_detector,
    make_family,
    new_task,
)
from hypothesis import Phase, settings  # noqa: E402 - as above

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # to simplify what fails would take many fits
)
settings.load_profile("repeatable")


# What takes long to make, and the group of tests that ask for it: each has it made once
MADE_ONCE = {
    "meta_fitted": "meta-fitted",
    "meta_fitted_mlp": "meta-fitted mlp",
    "of_kind": "neural processes",
    "judged": "neural processes",
}


def pytest_collection_finish(session):
    """Collect garbage rarely and never what collection made: that takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_itemcollected(item):
    """Let one worker run the tests of one configuration, so that it is meta-fitted only there."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    groups = [value for value in given if isinstance(value, str) and value in MAKERS]
    groups += [group for fixture, group in MADE_ONCE.items() if fixture in item.fixturenames]
    if groups and item.get_closest_marker("xdist_group") is None:
        item.add_marker(pytest.mark.xdist_group(groups[0]))
    if "bench" in item.fixturenames:  # commands warn of small tasks; so do those they compare with
        quiet = ("ignore", "error::RuntimeWarning:sklearn_fsad")
        item.add_marker(pytest.mark.filterwarnings(*quiet))


@pytest.fixture(params=MAKERS)
def every_name(request):
    """The name of each configuration in turn."""
    return request.param


@pytest.fixture
def detector(every_name):
    """Each configuration in turn: meta-fitted or not, never fitted."""
    return make_detector(every_name)


@pytest.fixture(scope="session")
def fitted():
    """``fitted[name]`` is a detector that is fitted on ``task``, a copy for each test."""
    return Fitted()


@pytest.fixture
def ready(every_name, fitted):
    """Each configuration in turn, fitted on ``task``."""
    return fitted[every_name]


@pytest.fixture(params=EACH_CLASS)
def each_class(request):
    """One configuration of each class, never fitted: for what the base class asks of them all."""
    return make_detector(request.param)


@pytest.fixture(params=GEOMETRIC)
def geometric(request):
    """Each detector whose scores are geometry: a network may think otherwise of what is far out."""
    return make_detector(request.param)


@pytest.fixture(scope="session")
def family():
    """Eight tasks of five features that share their nuisance directions."""
    return make_family()


@pytest.fixture(scope="session")
def task():
    """support_X, support_y, query_X and query_y of a task outside the family."""
    return new_task()


@pytest.fixture(scope="session")
def meta_fitted():
    """A detector meta-fitted on the family: clone it before use."""
    return make_detector("meta-fitted")


@pytest.fixture(scope="session")
def meta_fitted_mlp():
    """The textbook network meta-fitted on the family: clone it before use."""
    return make_detector("meta-fitted mlp")


@pytest.fixture
def few_trees(monkeypatch):
    """Forests as small as tests of a contract need."""
    for part, size in FEW_TREES.items():
        monkeypatch.setattr(part, size)


@pytest.fixture
def few_lessons(monkeypatch):
    """As little learning beside the epochs of a network as tests of a contract need."""
    for part, size in FEW_LESSONS.items():
        monkeypatch.setattr(part, size)


@pytest.fixture(scope="module")
def bench(request):
    """The package of the benchmarks with the modules named by ``MODULES``, and its command line."""
    folder = Path(__file__).parents[1] / "benchmarks"
    sys.path.insert(0, str(folder))
    try:
        for name in request.module.MODULES:
            importlib.import_module(f"bench.{name}")
        parts = vars(importlib.import_module("bench"))
        command = importlib.import_module("run")
        known = {"commands": command.COMMANDS, "results": command.RESULTS}
        yield SimpleNamespace(**parts, **known, main=command.main)
    finally:
        sys.path.remove(str(folder))

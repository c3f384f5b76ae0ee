"""The documentation: its code runs, its links lead somewhere, the public API is described."""

import importlib.util
import inspect
import os
import re
import sys
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from families import make_family, new_task
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_fsad
from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    MetaState,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad.model_selection import suggest_detector

ROOT = Path(__file__).parents[1]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
MODULES = sorted(m.stem for m in Path(sklearn_fsad.__file__).parent.glob("[!_]*.py"))


def code_of(page):
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL))


def stand_ins():
    """What pages take for granted: past tasks, and rows of a new one."""
    X, y, query, _ = new_task(n_features=3)
    tasks = list(make_family(6, n_features=3))
    return {"__name__": "page", "tasks": tasks, "X_support": X, "y_support": y, "X": query}


@pytest.fixture
def hardly_training(monkeypatch):
    """Detectors whose defaults are a few episodes: what a page says is run, not measured."""
    for detector in (InContextDetector, MAMLDetector, NeuralProcessDetector, ProtoNetDetector):
        defaults = detector.__init__.__kwdefaults__
        monkeypatch.setitem(defaults, "episodes_per_epoch", 8)
        monkeypatch.setitem(defaults, "max_epochs", 1)
    two = {"pooled": ProtoNetDetector(), "support": ProtoNetDetector(evidence="support")}
    quick = partial(suggest_detector, detectors=two, n_folds=2)
    monkeypatch.setattr("sklearn_fsad.model_selection.suggest_detector", quick)


def skip_without_its_extras(page):
    """Where the page needs what is not installed; never in CI."""
    for module in re.findall(r"^(?:import|from) ([\w.]+)", code_of(page), re.MULTILINE):
        if not module.startswith("sklearn_fsad") and not os.environ.get("CI"):
            pytest.importorskip(module, reason=f"{page} needs {module}: see its extras")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in PAGES if code_of(page)])
def test_the_code_of_a_page_runs(page, hardly_training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    skip_without_its_extras(page)
    exec(compile(code_of(page), page, "exec"), stand_ins())


def test_the_report_that_a_page_shows_is_the_one_it_prints(capsys):
    page = PAGES["docs/explanations.md"]
    code, shown = re.search(
        r"```python\n([^`]*diagnose[^`]*)```\n\n```\n(.*?)```", page, re.S
    ).groups()
    exec(compile(code, "explanations.md", "exec"), {})
    assert capsys.readouterr().out.split() == shown.split()


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page):
    made_by_the_build = ("auto_examples/", "generated/")
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", PAGES[page]):
        if "://" in link or link.startswith(made_by_the_build):
            continue
        if "benchmarks/results" in link and not (ROOT / "benchmarks" / "results").exists():
            continue  # an sdist has no results
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_links_to_examples_lead_to_examples():
    for page, text in PAGES.items():
        for name in re.findall(r"auto_examples/(plot_\w+)", text):
            assert (ROOT / "docs" / "examples" / f"{name}.py").exists(), (page, name)


# --- reference ------------------------------------------------------------------------------------


@cache
def public():
    """Path -> object of each public class and function, once, and of their own public methods."""
    found = {}
    for module in ("sklearn_fsad", *(f"sklearn_fsad.{name}" for name in MODULES)):
        for name in import_module(module).__all__:
            thing = getattr(import_module(module), name)
            if thing not in found.values():
                found[f"{module}.{name}"] = thing
    members = {
        f"{path}.{name}": member
        for path, thing in found.items()
        if inspect.isclass(thing)
        for name, member in inspect.getmembers(thing)
        if not name.startswith("_") and _is_ours(thing, name)
    }
    return found, members


def _is_ours(thing, name):
    home = next((base for base in thing.__mro__ if name in vars(base)), None)
    described = (property, classmethod, staticmethod)
    member = inspect.getattr_static(thing, name)
    return (
        home is not None
        and home.__module__.startswith("sklearn_fsad")
        and (callable(member) or isinstance(member, described) or hasattr(member, "check"))
    )


def test_the_reference_lists_every_public_name():
    listed = set(re.findall(r"^   ([\w.]+)$", PAGES["docs/api.md"], re.MULTILINE))
    assert {path.removeprefix("sklearn_fsad.") for path in public()[0]} <= listed


def test_everything_public_has_a_docstring():
    found, members = public()
    assert [path for path, thing in {**found, **members}.items() if not thing.__doc__] == []


def test_docstrings_follow_numpydoc():
    numpydoc = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed")
    left_out = {
        "ES01",  # an extended summary is not needed everywhere
        "EX01",  # nor an example of each method
        "SA01",  # nor a list of relatives
        "RT02",  # results have names, as in scikit-learn
        "SS05",  # takes "Folds" and "Tasks" for verbs
        "PR08",  # "skorch" is written so
    }
    wrong = [
        f"{path}: {code} {message}"
        for part in public()
        for path in part
        for code, message in numpydoc.validate(path)["errors"]
        if code not in left_out
    ]
    assert wrong == []


# --- a detector of one's own ----------------------------------------------------------------------


@cache
def own_example():
    """The module docs/examples/plot_own_detector.py, run once."""
    import matplotlib

    matplotlib.use("agg")
    path = ROOT / "docs" / "examples" / "plot_own_detector.py"
    spec = importlib.util.spec_from_file_location("plot_own_detector", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["plot_own_detector"] = module  # pickles find the class there
    spec.loader.exec_module(module)
    return module


@parametrize_with_checks([own_example().KernelDensityDetector()])
def test_the_detector_of_ones_own_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_the_detector_of_ones_own_learns_which_columns_matter():
    example = own_example()
    weights = example.learned.pretrained.arrays["log_weights"]
    assert weights[:2].min() > weights[2:].max()
    assert np.mean(example.aucs["with meta_fit"]) > np.mean(example.aucs["without meta_fit"])


def test_the_state_of_the_detector_of_ones_own_can_be_saved(tmp_path):
    example = own_example()
    example.learned.pretrained.save(tmp_path / "own.safetensors")
    state = MetaState.load(tmp_path / "own.safetensors")
    again = example.KernelDensityDetector(pretrained=state).fit(example.X[:15])
    first = example.KernelDensityDetector(pretrained=example.learned.pretrained)
    np.testing.assert_array_equal(
        again.score_samples(example.X), first.fit(example.X[:15]).score_samples(example.X)
    )

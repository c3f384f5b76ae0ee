"""The code of the pages runs, and so does the detector of one's own that they describe."""

import importlib.util
import os
import re
import sys
from functools import cache, partial

import numpy as np
import pytest
from families import make_family, new_task
from sklearn.utils.estimator_checks import check_estimator
from written_pages import PAGES, ROOT, blocks_of, code_of

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    MetaState,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad.model_selection import suggest_detector

pytestmark = pytest.mark.integration


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


SHOW_OUTPUT = [page for page in PAGES if any(shown for _, shown in blocks_of(page))]


@pytest.fixture
def no_open_figures():
    """No figures of other tests: shap draws on the current one."""
    plt = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
    plt.close("all")
    yield
    plt.close("all")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("no_open_figures")
@pytest.mark.parametrize("page", [p for p in PAGES if code_of(p) and p not in SHOW_OUTPUT])
def test_the_code_of_a_page_runs(page, hardly_training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    skip_without_its_extras(page)
    exec(compile(code_of(page), page, "exec"), stand_ins())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", SHOW_OUTPUT)
def test_the_code_of_a_page_prints_what_the_page_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    skip_without_its_extras(page)
    names = stand_ins()
    for code, shown in blocks_of(page):
        exec(compile(code, page, "exec"), names)
        printed = capsys.readouterr().out
        assert shown is None or printed == shown


def test_pages_show_what_they_print_where_newcomers_read_first():
    assert {"docs/start.md", "docs/files.md", "docs/thresholds.md"} <= set(SHOW_OUTPUT)


def test_the_report_that_a_page_shows_is_the_one_it_prints(capsys):
    page = PAGES["docs/explanations.md"]
    code, shown = re.search(
        r"```python\n([^`]*diagnose[^`]*)```\n\n```\n(.*?)```", page, re.S
    ).groups()
    exec(compile(code, "explanations.md", "exec"), {})
    assert capsys.readouterr().out.split() == shown.split()


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


@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
def test_the_detector_of_ones_own_is_a_scikit_learn_estimator():
    detector, reason = own_example().KernelDensityDetector(), "repeated rows change their scores"
    failures = {"check_sample_weight_equivalence_on_dense_data": reason}
    check_estimator(detector, on_skip=None, expected_failed_checks=failures, on_fail="raise")


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

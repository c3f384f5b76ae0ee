"""suggest_detector measures on held-out tasks and prefers what is simple."""

import logging

import numpy as np
import pytest
from families import make_family
from joblib import parallel_config
from sklearn.base import BaseEstimator, OutlierMixin

from sklearn_fsad import FewShotSplit, InContextDetector, ProtoNetDetector, TaskSet
from sklearn_fsad.model_selection import suggest_detector
from sklearn_fsad.model_selection._suggest import _usual


class Fixed(OutlierMixin, BaseEstimator):
    """Scores a column; remembers what it was meta-fitted on."""

    seen = ()

    def __init__(self, column=0, noise=0.0):
        self.column = column
        self.noise = noise

    def meta_fit(self, X, y=None, groups=None):
        Fixed.seen = (*Fixed.seen, len(X))
        return self

    def fit(self, X, y=None):
        self.offset_ = 0.0
        return self

    def score_samples(self, X):
        rng = np.random.default_rng(len(X))
        return -X[:, self.column] + self.noise * rng.normal(size=len(X))

    decision_function = score_samples


def make_tasks(n=8):
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [40, 12])
    return [(rng.normal(size=(52, 2)) + [2.5, 0] * y[:, None], y) for _ in range(n)]


def test_the_clearly_better_one_is_suggested_with_its_figures():
    detectors = {"blind": Fixed(1), "sees": Fixed(0)}
    found = suggest_detector(make_tasks(), detectors)
    assert found.best_name == "sees"
    assert isinstance(found.best, Fixed)
    assert found.best is not detectors["sees"]
    assert found.scores["sees"].shape == (8,)
    assert found.scores["sees"].mean() > 0.9 > found.scores["blind"].mean()
    assert "clearly ahead" in found.reason
    lines = str(found).splitlines()
    assert lines[1].split()[0] == "sees"
    assert lines[1].endswith(f"{found.scores['sees'].mean():.3f}")


def test_of_two_alike_the_simpler_is_suggested():
    found = suggest_detector(make_tasks(), {"plain": Fixed(0, 0.1), "other": Fixed(0)})
    assert found.best_name == "plain"
    assert "within one standard error" in found.reason or "best on 8" in found.reason


def test_siblings_are_held_out_together_and_some_are_not_meta_fitted():
    Fixed.seen = ()
    tasks = TaskSet(make_tasks(6), groups=["a", "a", "a", "a", "b", "b"])
    suggest_detector(tasks, {"x": Fixed(1), "y": Fixed(0)}, without_meta_fit=["x"])
    assert sorted(Fixed.seen) == [2, 4]


def test_what_cannot_be_measured_is_refused():
    tasks = TaskSet(make_tasks(3), groups=["a"] * 3)
    with pytest.raises(ValueError, match="at least two groups"):
        suggest_detector(tasks, {"x": Fixed()})
    with pytest.raises(ValueError, match="without_meta_fit names z; there are x"):
        suggest_detector(make_tasks(), {"x": Fixed()}, without_meta_fit=["z"])
    short = FewShotSplit(100, 5, on_short="skip")
    with pytest.raises(ValueError, match="fewer shots"):
        suggest_detector(make_tasks(), {"x": Fixed()}, splitter=short)


def test_detectors_of_the_package_are_compared(few_trees):
    little = {"n_normal": (4, 12), "n_anomalous": (0, 4), "episodes_per_epoch": 12}
    detectors = {
        "context": InContextDetector(random_state=0),
        "ProtoNetDetector": ProtoNetDetector(random_state=0, max_epochs=3, **little),
    }
    found = suggest_detector(make_family(), detectors, without_meta_fit=["context"], n_folds=2)
    assert set(found.scores) == set(detectors)
    assert all((s > 0.5).all() and (s <= 1).all() for s in found.scores.values())
    assert found.best.get_params()["pretrained"] == detectors[found.best_name].pretrained


@pytest.mark.parametrize(("n_features", "epochs"), [(100, None), (101, 0)])
def test_no_network_of_a_neural_process_is_trained_on_wide_tasks(n_features, epochs):
    rows = np.random.default_rng(0).normal(size=(4, n_features))
    usual = _usual(TaskSet([(rows, [0, 0, 0, 1]), (rows, [0, 0, 0, 1])]), seed=0)
    assert len(usual) == 4
    name = list(usual)[-1]
    assert name.endswith("without network") == (epochs == 0)
    assert (usual[name].max_epochs == 0) == (epochs == 0)


def test_one_bar_tells_how_far_all_detectors_are(capsys, caplog):
    caplog.set_level(logging.INFO, "sklearn_fsad")
    brief = {"n_normal": (5, 10), "max_epochs": 1, "episodes_per_epoch": 4, "verbose": 1}
    detectors = {"a": Fixed(0), "b": ProtoNetDetector(embedding="mlp", scaler="task", **brief)}
    suggest_detector(make_tasks(), detectors, n_folds=2, verbose=1)
    shown = capsys.readouterr().err
    assert "suggest_detector: 100%" in shown
    assert "meta_fit" not in shown
    messages = [record.getMessage() for record in caplog.records]
    phases = [message.rpartition(" took ")[0] for message in messages if " took " in message]
    assert phases == [f"suggest_detector: {d}, fold {i} of 2" for d in "ab" for i in (1, 2)]


def test_two_jobs_give_the_same_and_one_bar(capsys):
    brief = {"n_normal": (5, 10), "max_epochs": 1, "episodes_per_epoch": 4, "random_state": 0}
    detectors = {
        "context": InContextDetector(random_state=0),
        "prototypes": ProtoNetDetector(embedding="mlp", scaler="task", verbose=1, **brief),
    }
    how = {"without_meta_fit": ["context"], "n_folds": 2}
    splitter = FewShotSplit(5, 2, n_draws=2, random_state=np.random.RandomState(0))
    one = suggest_detector(make_tasks(4), detectors, splitter=splitter, verbose=0, **how)
    assert capsys.readouterr().err == ""
    with parallel_config(backend="threading"):
        two = suggest_detector(
            make_tasks(4), detectors, splitter=splitter, verbose=1, n_jobs=2, **how
        )
    shown = capsys.readouterr().err
    assert "suggest_detector: 100%" in shown
    assert "meta_fit" not in shown
    assert two.reason == one.reason
    for name in detectors:
        np.testing.assert_array_equal(two.scores[name], one.scores[name])

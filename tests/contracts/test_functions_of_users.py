"""Test that nothing is chosen by what a function of the user returns where that is no number."""

import re

import numpy as np
import pytest
import torch
from families import EACH_CLASS, QUICK, make_family
from pyod.models.base import BaseDetector
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_fsad import FewShotSplit, ProtoNetDetector, TaskEstimator
from sklearn_fsad.adapters import PyODDetector, to_pyod
from sklearn_fsad.augmentation import augment_tasks
from sklearn_fsad.model_selection import suggest_detector
from sklearn_fsad.thresholds import ConformalThreshold, best_cut

NO_NUMBERS = [None, "0.5", 1j, np.array([0.5, 0.5]), [0.5], {}]


def precision(truth, flagged):
    with np.errstate(invalid="ignore"):
        return (truth & flagged).sum() / flagged.sum()


def kept(detector, query):
    """Return its parameters, threshold and scores, to compare before and after a refusal."""
    names = ("threshold", "alpha", "contamination")
    settings = [detector.get_params()[name] for name in names]
    return [*settings, detector.offset_, detector.predict_proba(query).tolist()]


@pytest.fixture(params=EACH_CLASS)
def ready_of_class(request, fitted):
    return fitted[request.param]


WRONG_AIMS = [
    *({"costs": costs} for costs in ((np.nan, 1), (1, np.inf), (1, 2, 3), (-1, 1), 3)),
    *({"max_fpr": rate} for rate in (np.nan, 0.0, 1.0)),
]


# --- metrics of calibrate -------------------------------------------------------------------------
def test_cuts_where_a_metric_is_nan_do_not_count(ready_of_class, task):
    _, _, query, query_y = task
    scores = ready_of_class.score_samples(query)
    flagged = ready_of_class.calibrate(query, query_y, precision).predict(query) == -1
    assert flagged.any()
    best = max(precision(query_y, (scores <= cut).astype(int)) for cut in scores)
    assert precision(query_y, flagged.astype(int)) == best


def test_infinity_is_the_best_and_the_worst_of_a_metric():
    scores = np.arange(4.0), np.array([6.0, 8.0])
    assert best_cut(*scores, lambda truth, flagged: np.inf if flagged.sum() == 1 else 0.0) == 7.0
    assert best_cut(*scores, lambda truth, flagged: 0.0 if flagged.sum() == 2 else -np.inf) == 4.5
    assert best_cut(*scores, lambda truth, flagged: torch.tensor(float(flagged.sum() == 2))) == 4.5


def test_a_metric_that_is_nan_everywhere_or_no_number_is_refused(ready_of_class, task):
    _, _, query, query_y = task
    before = kept(ready_of_class, query)
    with pytest.raises(ValueError, match="is NaN at all"):
        ready_of_class.calibrate(query, query_y, lambda truth, flagged: np.nan)
    for value in NO_NUMBERS:
        with pytest.raises(ValueError, match="which is not a number"):
            ready_of_class.calibrate(query, query_y, lambda truth, flagged, v=value: v)
    with pytest.raises(ZeroDivisionError):
        ready_of_class.calibrate(query, query_y, lambda truth, flagged: 1 / 0)
    for wrong in WRONG_AIMS:
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name}="):
            ready_of_class.calibrate(query, query_y, "cost", **wrong)
    assert kept(ready_of_class, query) == before


# --- thresholds -----------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, *NO_NUMBERS], ids=repr)
def test_a_threshold_that_is_no_finite_number_is_refused(value, fitted, task):
    X, y, query, _ = task
    detector = fitted["closed form"]
    before = kept(detector, query)
    with pytest.raises(ValueError, match=r"threshold=.*which is not a (finite )?number"):
        detector.set_threshold(lambda normal, anomalous: value)
    assert kept(detector, query) == before
    unfitted = ProtoNetDetector(threshold=lambda normal, anomalous: value)
    with pytest.raises(ValueError, match="threshold="):
        unfitted.fit(X, y)
    assert not hasattr(unfitted, "offset_")


@pytest.mark.parametrize(
    "flags",
    [
        lambda scores: np.full(len(scores), np.nan),
        lambda scores: np.ones(len(scores) - 1),
        lambda scores: scores,
        lambda scores: None,
    ],
)
def test_a_thresholder_that_flags_by_anything_but_0_and_1_is_refused(flags, task):
    class Thresholder:
        def eval(self, scores):
            return flags(scores)

    with pytest.raises(ValueError, match="0 or 1 for each"):
        ProtoNetDetector(threshold=Thresholder()).fit(*task[:2])


def test_rates_outside_of_0_and_1_are_refused(fitted, task):
    detector, query = fitted["closed form"], task[2]
    for alpha in (np.nan, 0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="alpha"):
            ConformalThreshold(alpha)(np.arange(9.0), np.array([]))
        with pytest.raises(ValueError, match="alpha"):
            detector.set_threshold(alpha=alpha)
        with pytest.raises(ValueError, match="anomaly_rate"):
            detector.predict_proba(query, anomaly_rate=alpha)
        with pytest.raises(ValueError, match="q="):
            detector.predict_fdr(query, q=alpha)
    for wrong in (
        {"contamination": np.nan},
        {"threshold": np.nan},
        {"threshold": np.array(np.inf)},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            detector.set_threshold(**wrong)


# --- evidence -------------------------------------------------------------------------------------
WRONG_EVIDENCE = {
    "NaN": (lambda rows: np.full(len(rows.X), np.nan), "NaN or infinity for"),
    "infinite": (lambda rows: np.full(len(rows.X), np.inf), "NaN or infinity for"),
    "short": (lambda rows: np.zeros(len(rows.X) - 1), "one number for each"),
    "one column": (lambda rows: np.zeros((len(rows.X), 1)), "one number for each"),
    "one number": (lambda rows: 0.0, "one number for each"),
    "None": (lambda rows: None, "one number for each"),
    "text": (lambda rows: np.full(len(rows.X), "a"), "one number for each"),
    "complex": (lambda rows: np.full(len(rows.X), 1j), "one number for each"),
}


@pytest.mark.parametrize("kind", WRONG_EVIDENCE)
def test_evidence_that_is_not_one_number_a_row_is_refused_by_name(kind, task):
    X, y, query, _ = task
    give, message = WRONG_EVIDENCE[kind]
    wrong = []

    def own(support, rows):
        return give(rows) if wrong else rows.scaled[:, 0]

    detector = ProtoNetDetector(evidence=["nearest_scaled", own], **QUICK).fit(X, y)
    expected = detector.score_samples(query)
    wrong.append(True)
    for use in (lambda: detector.score_samples(query), lambda: detector.fit(X, y),
                lambda: detector.meta_fit(make_family(4))):  # fmt: skip
        with pytest.raises(ValueError, match=f"evidence 'own' returned .*{message}"):
            use()
    wrong.clear()
    np.testing.assert_array_equal(detector.score_samples(query), expected)


# --- scores that choose between detectors ---------------------------------------------------------
def test_a_nan_score_chooses_no_detector_and_says_which_detector_and_task():
    tasks = dict(zip("abcd", make_family(4), strict=True))
    few = {"splitter": FewShotSplit(4, 1, n_draws=1, random_state=0)}
    detector = ProtoNetDetector(embedding="mlp", scaler="task", max_epochs=0, **{
        name: QUICK[name] for name in ("n_normal", "n_anomalous", "n_query")})  # fmt: skip
    candidates = {"first": detector, "second": clone(detector)}

    def scoring(estimator, X, y):
        return np.nan if np.isin(X[:, 0], tasks["c"][0][:, 0]).any() else 0.5

    with pytest.raises(ValueError, match=r"scoring gave \[nan\] for first .* task 'c'"):
        suggest_detector(tasks, candidates, without_meta_fit=candidates, scoring=scoring, **few)
    estimator = TaskEstimator(detector, scoring=scoring, **few).fit(tasks)
    assert np.isnan(estimator.task_scores(tasks)["c"]).all()
    with pytest.raises(ValueError, match="ProtoNetDetector on the supports of task 'c'"):
        estimator.score(tasks)
    with pytest.raises(ValueError, match="nothing can be chosen"):
        GridSearchCV(estimator, {"detector__lr": [0.1]}, cv=KFold(2), error_score="raise").fit(
            list(tasks.values())
        )
    for value in NO_NUMBERS:
        estimator.set_params(scoring=lambda estimator, X, y, v=value: v)
        with pytest.raises(ValueError, match=r"Task 'a': scoring=.*which is not a number"):
            estimator.score(tasks)


# --- other functions ------------------------------------------------------------------------------
@pytest.mark.parametrize("made", [None, 3.0, np.zeros((2, 2)), "nan"])
def test_an_augmentation_that_makes_no_rows_is_refused(made):
    def transform(X, normal, rng):
        return X * np.nan if isinstance(made, str) else made

    with pytest.raises((ValueError, TypeError), match="made rows of shape"):
        augment_tasks(make_family(1), transform)


class Broken(BaseDetector):
    """A detector of PyOD that scores by NaN: all rows, or those it has not seen."""

    def __init__(self, contamination=0.1, everything=True):
        super().__init__(contamination=contamination)
        self.everything = everything

    def fit(self, X, y=None):
        self.decision_scores_ = np.full(len(X), np.nan) if self.everything else X[:, 0]
        self._process_decision_scores()
        return self

    def decision_function(self, X):
        return np.full(len(X), np.nan)


def test_a_detector_of_pyod_whose_scores_are_nan_flags_nothing_and_says_so(task):
    X, _, query, _ = task
    with pytest.raises(ValueError, match="The threshold of Broken"):
        PyODDetector(Broken()).fit(X)
    detector = PyODDetector(Broken(everything=False)).fit(X)
    for method in (detector.predict, detector.score_samples):
        with pytest.raises(ValueError, match=re.escape("Broken gave 80 scores for 80 rows, 80 of")):
            method(query)
    with pytest.raises(ValueError, match="NaNForest gave"):
        to_pyod(NaNForest()).fit(X)


class NaNForest(IsolationForest):
    def score_samples(self, X):
        return np.full(len(X), np.nan)


def test_a_criterion_that_is_no_number_stops_the_training(family):
    class Criterion(torch.nn.Module):
        def forward(self, scores, y):
            return None

    detector = ProtoNetDetector(**QUICK, net_params={"criterion": Criterion})
    with pytest.raises(ValueError, match=r"criterion=.*returned None"):
        detector.meta_fit(family)
    assert detector.pretrained is None

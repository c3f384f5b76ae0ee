"""diagnose: what labelled rows say of a fitted detector."""

import warnings

import numpy as np
import pytest
from families import MAML, PLAIN, QUICK, make_detector, make_family, new_task
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score, roc_auc_score

from sklearn_fsad import MAMLDetector, NeuralProcessDetector, ProtoNetDetector
from sklearn_fsad._detectors.maml.report import adaptation_advice
from sklearn_fsad._explain.diagnosis import diagnose_scores
from sklearn_fsad._explain.neighbour_baselines import neighbour_scores
from sklearn_fsad._stats.ranking import auc_gain
from sklearn_fsad.tasks._distance import TaskPlace

pytestmark = pytest.mark.usefixtures("few_trees")

CODES = np.repeat(np.array([0, 1], dtype=np.int8), [60, 30])


def diagnosed(mine, other=None, flagged=None, codes=CODES, **facts):
    scores = {"detector": mine} | ({} if other is None else {"nearest normal": other})
    flagged = np.zeros(len(codes), dtype=bool) if flagged is None else flagged
    return diagnose_scores(
        "Some", scores, codes, flagged=flagged, **{"n_support": 50, "alpha": 0.05, **facts}
    )


def separated(by, seed=0):
    return np.random.default_rng(seed).normal(size=90) + by * CODES


# --- numbers --------------------------------------------------------------------------------------
def test_figures_are_those_computed_by_hand_and_the_detector_stays_as_it_is(detector, task):
    X, y, query, query_y = task
    detector.fit(X, y)
    before = {name: id(value) for name, value in vars(detector).items()}
    scores, flagged = -detector.score_samples(query), detector.predict(query) == -1
    found = detector.diagnose(query, query_y)
    baselines = neighbour_scores(query, X, y.astype(np.int8))
    assert list(found.roc_auc) == ["detector", "nearest normal", "neighbour ratio"]
    for name, values in {"detector": scores, **baselines}.items():
        assert found.roc_auc[name] == roc_auc_score(query_y, values)
        assert found.average_precision[name] == average_precision_score(query_y, values)
    assert found.false_alarm_rate == flagged[query_y == 0].mean()
    assert found.detection_rate == flagged[query_y == 1].mean()
    assert (found.n_normal, found.n_anomalous, found.alpha) == (60, 20, 0.05)
    assert found.detector == type(detector).__name__
    assert {name: id(value) for name, value in vars(detector).items()} == before
    np.testing.assert_array_equal(-detector.score_samples(query), scores)


def test_the_ratio_needs_labelled_anomalies():
    X, y, query, query_y = new_task(k_support=0)
    found = ProtoNetDetector().fit(X, y).diagnose(query, query_y)
    assert list(found.roc_auc) == list(found.average_precision) == ["detector", "nearest normal"]


def test_neighbours_are_those_of_the_support():
    X, y, query, _ = new_task(n_support=20)
    to_normal = cdist(query, X[y == 0]).min(axis=1)
    to_anomaly = cdist(query, X[y == 1]).min(axis=1)
    scores = neighbour_scores(query, X, y.astype(np.int8))
    np.testing.assert_allclose(scores["nearest normal"], np.log(to_normal), rtol=1e-9)
    np.testing.assert_allclose(
        scores["neighbour ratio"], np.log(to_normal / to_anomaly), rtol=1e-9, atol=1e-9
    )


def test_neighbours_take_columns_of_other_units_and_missing_entries():
    X, y, query, _ = new_task(n_support=20)
    units = np.array([1.0, 1e3, 1.0, 1e-2, 1.0])
    wild = neighbour_scores(query * units, X * units, y.astype(np.int8))["nearest normal"]
    spread = X[y == 0].std(axis=0)
    expected = cdist(query / spread, X[y == 0] / spread).min(axis=1)
    np.testing.assert_allclose(wild, np.log(expected), rtol=1e-9)
    query = query.copy()
    query[0, 2] = np.nan
    assert np.isfinite(neighbour_scores(query, X, y.astype(np.int8))["nearest normal"]).all()


def test_the_gain_in_auc_and_its_error_are_right():
    mine, other = separated(1.5), separated(1.0, seed=1)
    gain, error = auc_gain(mine, other, CODES == 0, CODES == 1)
    assert gain == pytest.approx(roc_auc_score(CODES, mine) - roc_auc_score(CODES, other))
    rng, gains = np.random.default_rng(0), []
    for _ in range(150):
        rows = np.concatenate([rng.integers(0, 60, 60), rng.integers(60, 90, 30)])
        gains.append(roc_auc_score(CODES, mine[rows]) - roc_auc_score(CODES, other[rows]))
    assert error == pytest.approx(np.std(gains), rel=0.25)
    assert auc_gain(np.r_[0.0, 1.0], np.r_[0.0, 1.0], np.r_[True, False], np.r_[False, True]) == (
        0.0,
        np.inf,
    )


def test_unlabelled_rows_do_not_count():
    X, y, query, query_y = new_task()
    detector = ProtoNetDetector().fit(X, y)
    some = query_y.astype(float)
    some[::3] = np.nan
    found, expected = (
        detector.diagnose(query, some),
        detector.diagnose(query[~np.isnan(some)], query_y[~np.isnan(some)]),
    )
    assert found == expected


def test_without_an_anomaly_what_needs_one_is_none():
    X, y, query, query_y = new_task()
    found = ProtoNetDetector().fit(X, y).diagnose(query[query_y == 0], np.zeros(60))
    assert found.roc_auc is found.average_precision is found.detection_rate is None
    assert found.n_anomalous == 0
    assert str(found).count("y has no anomaly") == 3
    assert any("label a few" in sentence for sentence in found.advice)


def test_without_a_normal_there_is_nothing_to_say():
    X, y, query, query_y = new_task()
    with pytest.raises(ValueError, match="No row is labelled as normal"):
        ProtoNetDetector().fit(X, y).diagnose(query[query_y == 1], [-1] * 20)


def test_an_unfitted_detector_is_refused(task):
    for detector in (ProtoNetDetector(), make_detector("meta-fitted"), NeuralProcessDetector()):
        with pytest.raises(NotFittedError):
            detector.diagnose(task[2], task[3])


# --- words ----------------------------------------------------------------------------------------
def test_nothing_is_advised_where_nothing_is_wrong():
    flagged = CODES == 1
    found = diagnosed(separated(6), separated(1, 1), flagged)
    assert found.advice == ()
    other = found.roc_auc["nearest normal"]
    assert str(found).splitlines() == [
        "Some on 60 normal and 30 anomalous rows",
        "  distance to training tasks  unknown",
        f"  ROC AUC                     1.000 (nearest normal {other:.3f})",
        "  average precision           1.000 "
        f"(nearest normal {found.average_precision['nearest normal']:.3f})",
        "  false alarms                0.0% of normals; alpha is 5.0%",
        "  detected                    100.0% of anomalies",
    ]


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [(1.0, 4.0, "A simple baseline is better"), (2.0, 2.0, "does as well"), (5.0, 0.5, None)],
)
def test_neighbours_that_are_as_good_are_named(mine, other, said):
    found = diagnosed(separated(mine), separated(other, 1), CODES == 1)
    about = [s for s in found.advice if "neighbour" in s or "nearest normal" in s]
    assert len(about) == (said is not None)
    assert said is None or said in about[0]


def test_a_threshold_that_flags_too_many_normals_is_named():
    flagged = CODES == 1
    flagged[:24] = True
    found = diagnosed(separated(6), flagged=flagged)
    assert found.false_alarm_rate == 0.4
    assert "flags 40.0% of the normals where alpha is 5.0%" in found.advice[0]
    assert "give fit more normal rows" in found.advice[0]
    for aim, said in {"share": "a share of the support", "other": "aims at something else"}.items():
        assert said in diagnosed(separated(6), flagged=flagged, aim=aim).advice[0]
    flagged[4:24] = False  # 4 of 60 where 3 are expected
    assert diagnosed(separated(6), flagged=flagged).advice == ()


@pytest.mark.parametrize(
    ("settings", "k", "aim"),
    [
        ({}, 0, "alpha"),
        ({}, 4, "other"),
        ({"threshold": "conformal", "alpha": 0.2}, 4, "alpha"),
        ({"threshold": lambda normals, anomalies: 0.0}, 0, "other"),
        ({"contamination": 0.1}, 0, "share"),
    ],
)
def test_what_a_threshold_aims_at(settings, k, aim):
    X, y, _, _ = new_task(k_support=k)
    assert ProtoNetDetector(**settings).fit(X, y)._aim_of_threshold() == aim


def test_a_small_support_may_flag_more():
    flagged = CODES == 1
    flagged[:12] = True
    assert diagnosed(separated(6), flagged=flagged).advice
    assert not diagnosed(separated(6), flagged=flagged, n_support=4).advice


def test_a_strict_threshold_on_scores_that_rank_well_is_named():
    assert "The threshold is strict" in diagnosed(separated(6)).advice[0]
    assert not any("strict" in s for s in diagnosed(separated(0.1)).advice)


def test_few_rows_and_rows_of_the_support_are_named():
    X, y, query, query_y = new_task(n_support=30)
    detector = ProtoNetDetector().fit(X, y)
    few = detector.diagnose(query[:10], query_y[:10]).advice
    assert any("10 normal and 0 anomalous rows are few" in s for s in few)
    again = detector.diagnose(np.concatenate([X, query]), np.concatenate([y, query_y])).advice
    assert any("34 rows were also given to fit" in s for s in again)


def test_a_far_task_is_named_with_its_distance():
    far = TaskPlace(distance=9.0, percentile=100.0, farthest=2.0, is_far=True)
    found = diagnosed(separated(6), flagged=CODES == 1, place=far)
    assert (found.task_distance, found.task_percentile) == (9.0, 100.0)
    assert "farther from the training tasks" in found.advice[0]
    assert "9.00, farther out than 100 % of them" in str(found)


def test_the_distance_is_that_of_the_warning(task):
    X, y, query, query_y = task
    detector = ProtoNetDetector(**{**QUICK, "max_epochs": 0}).meta_fit(make_family())
    found = clone(detector).fit(X, y).diagnose(query, query_y)
    assert 0 <= found.task_percentile <= 100
    assert found.task_distance == detector.fit(X, y)._place_among_tasks().distance
    assert ProtoNetDetector().fit(X, y).diagnose(query, query_y).task_distance is None


# --- what a method tells of itself ----------------------------------------------------------------
def test_a_network_tells_of_its_adaptation(task):
    X, y, query, query_y = task
    assert ProtoNetDetector().fit(X, y).diagnose(query, query_y).adaptation is None
    closed = MAMLDetector().fit(X, y).diagnose(query, query_y)
    assert closed.adaptation == {"used": "closed form"}
    assert any("The default formula scores, not a network" in s for s in closed.advice)
    assert "adaptation                  closed form" in str(closed)
    name = next(name for name in MAML if MAML[name].items() >= PLAIN.items())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network = make_detector(name).fit(X, y)
    assert network.diagnose(query, query_y).adaptation == network.adaptation_report_


def test_steps_in_vain_or_for_the_worse_are_named():
    fine = {"used": "network", "support_loss": [1.0, 0.5], "score_change": {"not adapted": 0.3}}
    assert adaptation_advice(fine) == []
    worse = {**fine, "support_loss": [0.5, 1.0]}
    assert "smaller inner_lr" in adaptation_advice(worse)[0]
    in_vain = {**fine, "score_change": {"not adapted": 0.001, "swapped support": 0.0}}
    assert "hardly change the scores" in adaptation_advice(in_vain)[0]

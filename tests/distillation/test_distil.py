"""A distilled detector scores nearly as its detector does, and says how nearly."""

import pickle

import numpy as np
import pandas as pd
import pytest
from pyod.models.knn import KNN
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_fsad import DistilledDetector, InContextDetector, ProtoNetDetector, distil
from sklearn_fsad.distillation._given import known_rows
from sklearn_fsad.distillation._learning import GivenRows, cut_of_share
from sklearn_fsad.distillation._teacher import Teacher
from sklearn_fsad.exceptions import DisagreementError, InconsistentVersionWarning
from sklearn_fsad.series import WindowedDetector

QUICK = {"n_rows": 4000, "max_epochs": 10, "random_state": 0}


def table(n_normal=40, n_anomalous=0, d=4, seed=0):
    rng = np.random.default_rng(seed)
    correlated = rng.normal(size=(n_normal, d)) @ np.linalg.cholesky(np.eye(d) * 0.4 + 0.6)
    X = np.concatenate([correlated, rng.normal(3.0, 1.0, (n_anomalous, d))])
    return X, np.repeat([1, -1], [n_normal, n_anomalous])


@pytest.fixture(scope="module")
def fitted():
    return ProtoNetDetector().fit(*table(n_anomalous=5))


@pytest.fixture(scope="module")
def copy(fitted):
    return distil(fitted, min_agreement=0.9, **QUICK)


def test_a_copy_ranks_later_rows_as_its_detector_does(fitted, copy):
    X, _ = table(300, 60, seed=1)
    assert spearmanr(copy.score_samples(X), fitted.score_samples(X))[0] > 0.97


def test_the_scores_of_a_copy_are_on_the_scale_of_its_detector(fitted, copy):
    X, _ = table(300, seed=1)
    theirs = fitted.score_samples(X)
    assert np.abs(copy.score_samples(X) - theirs).mean() < 0.3 * theirs.std()


def test_a_copy_flags_about_the_same_rows(fitted, copy):
    X, _ = table(300, 60, seed=1)
    assert (copy.predict(X) == fitted.predict(X)).mean() > 0.95
    assert np.array_equal(copy.predict(X) == -1, copy.decision_function(X) < 0)
    agreement = copy.agreement_
    assert agreement.flagged == pytest.approx(agreement.flagged_by_detector, abs=1e-3)


def test_agreement_of_made_rows_is_at_most_that_of_rows_like_the_normal_ones(copy):
    by_kind = copy.agreement_.by_kind
    lowest = min(by_kind[name] for name in ("between neighbours", "gaussian", "jittered"))
    assert lowest - 0.1 < copy.agreement_.rank_correlation <= lowest
    assert copy.agreement_.rows == "made"
    assert 0.0 <= copy.agreement_.auc_loss < 0.05


def test_a_copy_that_agrees_too_little_is_refused_with_the_figure(fitted):
    with pytest.raises(DisagreementError, match=r"correlation 0\.\d+ on \d+ made .*=0\.9999"):
        distil(fitted, min_agreement=0.9999, hidden=(2,), **QUICK)


def test_made_rows_of_many_columns_are_a_warning_and_given_ones_are_not():
    X = np.random.default_rng(0).normal(size=(40, 301))
    fitted = ProtoNetDetector().fit(X[:20])
    with pytest.warns(UserWarning, match="tell little about real ones of 301 columns"):
        distil(fitted, min_agreement=-1, hidden=(4,), n_rows=1000, max_epochs=1)
    distil(fitted, X[20:], min_agreement=-1, hidden=(4,), n_rows=1000, max_epochs=1)


def test_given_rows_that_are_left_out_measure_the_agreement(fitted):
    X, y = table(300, 60, seed=1)
    copy = distil(fitted, X, y, min_agreement=0.9, hidden=(32, 32), **QUICK)
    assert copy.agreement_.rows == "given"
    assert copy.agreement_.n_rows == 90
    assert list(copy.agreement_.by_kind) == ["given"]
    assert abs(copy.agreement_.auc_loss) < 0.02


def test_given_rows_without_a_label_are_dropped_where_others_have_one(fitted):
    X, y = table(80, 20, seed=1)
    y = np.where(np.arange(100) % 2, y, np.nan)
    copy = distil(fitted, X, y, min_agreement=-1, hidden=(8,), **QUICK)
    assert copy.agreement_.n_rows == 13
    with pytest.raises(ValueError, match="X has 10 labelled rows"):
        distil(fitted, X[:20], y[:20], **QUICK)


def test_where_no_row_left_out_is_flagged_the_threshold_is_that_of_the_detector():
    fitted = ProtoNetDetector(alpha=0.02).fit(table(60)[0])
    copy = distil(fitted, table(80, seed=7)[0], min_agreement=0.9, hidden=(32, 32), **QUICK)
    assert copy.agreement_.flagged_by_detector == copy.agreement_.flagged == 0.0
    assert copy.offset_ == pytest.approx(fitted.offset_, abs=0.1)
    new = table(2000, seed=8)[0]
    alarms = [(detector.predict(new) == -1).mean() for detector in (fitted, copy)]
    assert alarms[1] == pytest.approx(alarms[0], abs=0.015)


@pytest.mark.parametrize(
    ("scores", "flags", "usual", "cut"),
    [
        ([1, 2, 3, 4], [0, 0, 0, 1], None, 3.5),
        ([1, 2, 3, 4], [0, 0, 0, 0], None, 4.0),
        ([1, 2, 3, 4], [0, 0, 0, 0], 7.0, 7.0),
        ([1, 2, 3, 4], [0, 0, 0, 0], 2.0, 4.0),
        ([1, 2, 3, 9], [0, 0, 0, 1], 5.0, 5.0),
        ([1, 2, 3, 9], [0, 0, 0, 1], 12.0, np.nextafter(9.0, 0.0)),
        ([1, 2, 3, 4], [1, 1, 1, 1], None, np.nextafter(1.0, 0.0)),
        ([1, 2, 3, 4], [1, 1, 1, 1], -2.0, -2.0),
        ([1, 4, 4, 4], [0, 0, 0, 1], None, 4.0),
    ],
)
def test_as_many_rows_lie_above_the_cut_as_are_flagged(scores, flags, usual, cut):
    assert cut_of_share(np.array(scores, dtype=float), np.array(flags, dtype=bool), usual) == cut


def test_copies_of_few_rows_cannot_measure_the_agreement(fitted):
    with pytest.raises(ValueError, match="X has 60 rows, 3 of them different, and a quarter"):
        distil(fitted, np.repeat(table(3)[0], 20, axis=0))


def test_no_row_is_made_from_those_that_are_left_out():
    rows = np.arange(40.0)[:, None]
    given = GivenRows.split(rows, None, np.random.default_rng(0))
    assert len(given.left_out) == 10
    assert np.array_equal(np.sort(np.concatenate([given.train, given.left_out]), axis=0), rows)
    known = known_rows(Teacher(IsolationForest(random_state=0).fit(rows)), given)
    used = np.concatenate([known.normals, known.anomalies])
    assert not np.isin(given.left_out, used).any()


def test_probabilities_and_p_values_are_those_of_the_detector_for_the_scores(fitted, copy):
    X, _ = table(100, 20, seed=2)
    p, theirs = copy.p_values(X), fitted.p_values(X)
    assert spearmanr(p, theirs)[0] > 0.95
    assert p.min() >= 1 / 41
    probabilities = copy.predict_proba(X)
    assert np.allclose(probabilities.sum(axis=1), 1.0)
    assert np.abs(probabilities - fitted.predict_proba(X)).mean() < 0.05
    assert list(copy.classes_) == list(fitted.classes_)


def test_the_threshold_of_a_copy_can_be_changed(fitted, copy):
    X, _ = table(300, seed=2)
    other = pickle.loads(pickle.dumps(copy))
    assert other.set_threshold(-1.5).offset_ == -1.5
    assert np.array_equal(other.predict(X) == -1, other.score_samples(X) < -1.5)
    other.set_threshold("conformal", alpha=0.2)
    theirs = pickle.loads(pickle.dumps(fitted)).set_threshold("conformal", alpha=0.2)
    assert other.offset_ == theirs.offset_
    for wrong in (np.nan, "quantile"):
        with pytest.raises(ValueError, match="threshold"):
            other.set_threshold(wrong)
    assert other.offset_ == theirs.offset_


def test_false_discoveries_are_controlled_as_by_the_detector(fitted, copy):
    X, _ = table(60, 40, seed=2)
    assert (copy.predict_fdr(X, 0.2) == fitted.predict_fdr(X, 0.2)).mean() > 0.9
    with pytest.raises(ValueError, match=r"q=2 must be in \(0, 1\)"):
        copy.predict_fdr(X, 2)


def test_pickles_of_another_version_are_told_apart(copy, monkeypatch):
    stored = pickle.dumps(copy)
    monkeypatch.setattr("sklearn_fsad._detectors.base.versions.__version__", "9.9")
    with pytest.warns(InconsistentVersionWarning, match=r"DistilledDetector .* 9\.9"):
        pickle.loads(stored)


def test_labels_of_zeros_and_ones_are_kept():
    X, y = table(n_anomalous=5)
    fitted = ProtoNetDetector().fit(X, (y == -1).astype(int))
    copy = distil(fitted, min_agreement=0.5, hidden=(16,), **QUICK)
    assert list(copy.classes_) == [0, 1]
    assert copy.score(X, (y == -1).astype(int)) > 0.9
    assert copy.predict_proba([[5.0] * 4])[0, 1] > 0.5


def test_a_row_scores_the_same_in_any_company(copy):
    X, _ = table(1500, 20, seed=3)
    whole = copy.score_samples(X)
    assert np.array_equal(whole, np.concatenate([copy.score_samples(part) for part in X[:, None]]))
    assert np.array_equal(whole[::-1], copy.score_samples(X[::-1]))


FAR = np.zeros((6, 4))
FAR[np.arange(6), [0, 1, 2, 3, 0, 1]] = [1e3, -1e6, 1e15, -1e100, 1e250, -1e300]


def test_rows_out_of_the_range_are_anomalies_and_scores_are_finite(copy):
    assert np.isfinite(copy.score_samples(FAR)).all()
    assert (copy.predict(FAR[2:]) == -1).all()


def test_far_rows_are_anomalies_where_no_anomaly_is_labelled():
    copy = distil(ProtoNetDetector().fit(table()[0]), min_agreement=0.5, hidden=(16,), **QUICK)
    assert (copy.predict(FAR) == -1).all()


def test_the_same_seed_gives_the_same_copy_and_another_one_another(fitted, copy):
    X, _ = table(seed=4)
    again = distil(fitted, min_agreement=0.9, **QUICK)
    other = distil(fitted, min_agreement=0.5, **{**QUICK, "random_state": 1})
    assert np.array_equal(again.score_samples(X), copy.score_samples(X))
    assert not np.array_equal(other.score_samples(X), copy.score_samples(X))


def test_a_pickled_copy_scores_the_same_and_holds_no_detector(copy):
    X, _ = table(seed=4)
    stored = pickle.dumps(copy)
    assert np.array_equal(pickle.loads(stored).score_samples(X), copy.score_samples(X))
    assert b"ProtoNetDetector" not in stored
    assert copy.get_params()["detector"] is None


def test_a_clone_of_a_copy_cannot_be_fitted_and_says_why(copy):
    with pytest.raises(ValueError, match=r"no detector to distil.*DistilledDetector\(detector\)"):
        clone(copy).fit(table()[0])


def test_an_estimator_with_a_detector_fits_a_clone_of_it():
    X, y = table(n_anomalous=5)
    own = ProtoNetDetector()
    copy = DistilledDetector(own, min_agreement=0.5, hidden=(16,), **QUICK).fit(X, y)
    assert not hasattr(own, "offset_")
    later, _ = table(seed=1)
    assert spearmanr(copy.score_samples(later), own.fit(X, y).score_samples(later))[0] > 0.9
    assert (copy.fit_predict(X, y) == copy.predict(X)).all()


def test_a_frozen_detector_is_distilled_on_the_rows_of_fit(fitted):
    X, _ = table(100, seed=1)
    copy = DistilledDetector(FrozenEstimator(fitted), min_agreement=0.5, hidden=(16,), **QUICK)
    assert copy.fit(X).agreement_.rows == "given"


def test_a_failed_fit_keeps_what_was_there():
    X, y = table(n_anomalous=5)
    copy = DistilledDetector(ProtoNetDetector(), min_agreement=0.5, hidden=(16,), **QUICK)
    before = copy.fit(X, y).score_samples(X)
    with pytest.raises(DisagreementError):
        copy.set_params(min_agreement=1.0).fit(X[:, :2], y)
    assert np.array_equal(copy.score_samples(X), before)
    assert copy.n_features_in_ == 4


@pytest.mark.parametrize("other", [IsolationForest(random_state=0), KNN()], ids=["forest", "knn"])
def test_detectors_of_other_libraries_are_distilled_on_given_rows(other):
    X, _ = table(300)
    copy = distil(other.fit(X), X, min_agreement=0.5, hidden=(32,), **QUICK)
    later, _ = table(200, seed=1)
    theirs = other.decision_function(later)
    sign = 1 if isinstance(other, IsolationForest) else -1
    assert spearmanr(copy.score_samples(later), sign * theirs)[0] > 0.8
    assert not hasattr(copy, "p_values")
    with pytest.raises(ValueError, match="Give a number as threshold"):
        copy.set_threshold("conformal")
    assert not hasattr(copy, "predict_proba")


def test_a_pipeline_is_distilled_on_given_rows():
    X, _ = table(100)
    pipe = make_pipeline(StandardScaler(), ProtoNetDetector()).fit(X)
    copy = distil(pipe, X * 1.01, min_agreement=0.5, hidden=(32,), **QUICK)
    assert (copy.predict([[0.0] * 4, [30.0] * 4]) == [1, -1]).all()


def test_a_detector_that_keeps_no_rows_needs_some():
    forest = IsolationForest(random_state=0).fit(table()[0])
    with pytest.raises(ValueError, match=r"IsolationForest does not tell its training rows"):
        distil(forest)


def test_names_of_columns_are_kept_and_compared():
    X, y = table(n_anomalous=5)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    fitted = ProtoNetDetector().fit(frame, y)
    copy = distil(fitted, min_agreement=0.5, hidden=(16,), **QUICK)
    assert list(copy.feature_names_in_) == ["a", "b", "c", "d"]
    copy.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        copy.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize("before", [[], [StandardScaler()]])
def test_later_rows_have_the_columns_of_the_detector(before):
    frame = pd.DataFrame(table()[0], columns=["a", "b", "c", "d"])
    fitted = make_pipeline(*before, ProtoNetDetector()).fit(frame)
    for other in (frame[["b", "a", "c", "d"]], frame.rename(columns={"a": "z"})):
        with pytest.raises(ValueError, match="feature names should match"):
            distil(fitted, other)
    copy = distil(fitted, frame.to_numpy(), min_agreement=-1, hidden=(8,), **QUICK)
    assert list(copy.feature_names_in_) == ["a", "b", "c", "d"]


def test_what_cannot_be_read_is_refused(fitted):
    X, y = table(n_anomalous=5)
    gap = X.copy()
    gap[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"training rows have missing entries.*column 2"):
        distil(ProtoNetDetector().fit(gap, y), **QUICK)
    with pytest.raises(ValueError, match="contains NaN"):
        distil(fitted, gap, **QUICK)
    with pytest.raises(ValueError, match="at least 20"):
        distil(fitted, X[:5], **QUICK)
    with pytest.raises(ValueError, match="4 features"):
        distil(fitted, X[:, :3], **QUICK)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=pd.Categorical(["u", "v", "v"] * 15))
    with pytest.raises(ValueError, match=r"Column 'kind' .* holds categories"):
        distil(InContextDetector().fit(frame, y), **QUICK)


@pytest.mark.filterwarnings("ignore:A rate of false alarms")
def test_what_is_no_detector_of_rows_is_refused():
    with pytest.raises(NotFittedError):
        distil(ProtoNetDetector())
    with pytest.raises(TypeError, match="StandardScaler cannot be distilled"):
        distil(StandardScaler().fit(table()[0]))
    series = WindowedDetector(ProtoNetDetector()).fit(table(120)[0])
    with pytest.raises(TypeError, match="scores the steps of series"):
        distil(series)


def test_missing_values_are_refused_when_rows_are_scored(copy):
    with pytest.raises(ValueError, match="contains NaN"):
        copy.predict([[np.nan, 0.0, 0.0, 0.0]])


@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.LabelConventionWarning")
@parametrize_with_checks(
    [
        DistilledDetector(
            ProtoNetDetector(), min_agreement=-1, hidden=(8,), n_rows=1000, max_epochs=1
        )
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)

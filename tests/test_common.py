"""What every public detector promises, whatever its method: one list, the same checks for all."""

import copy
import io
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from families import (
    ANY_WIDTH,
    META_FITTED,
    ONE_WIDTH,
    QUICK,
    brief_process,
    make_detector,
    make_family,
    methods_of,
    new_task,
    self_taught,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback

from sklearn_fsad import (
    FewShotSplit,
    InContextDetector,
    MAMLDetector,
    MetaState,
    ProtoNetDetector,
    TaskEstimator,
    TaskSet,
)

N_THREADS = 8
ONE_EPOCH = {"max_epochs": 1, "episodes_per_epoch": 8}
THREE_EPOCHS = {"max_epochs": 3, "episodes_per_epoch": 8}

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


CHECKED = [make_detector(name) for name in ANY_WIDTH]
CHECKED += [self_taught(learner) for learner in ("classifier", "autoencoder", "svdd")]
CHECKED += [brief_process(kind) for kind in ("cnp", "np", "anp", "tnp", "convcnp")]


@parametrize_with_checks(CHECKED)
def test_sklearn_check_passes(estimator, check):
    check(estimator)


# --- labels ---------------------------------------------------------------------------------------
def with_unlabelled(values, missing):
    """The labels as objects, every third one missing."""
    return [missing if i % 3 == 0 else value for i, value in enumerate(values)]


CODINGS = {
    "signed": lambda y: 1 - 2 * y,
    "signed floats": lambda y: (1 - 2 * y).astype(float),
    "bool": lambda y: y.astype(bool),
    "list": lambda y: y.tolist(),
    "pandas": lambda y: pd.Series(y, index=np.arange(len(y)) + 7),
    "polars": lambda y: pl.Series(y),
}
CODINGS_WITH_UNLABELLED = {
    "none": lambda y: with_unlabelled(y.tolist(), None),
    "signed with nan": lambda y: np.array(with_unlabelled((1.0 - 2 * y).tolist(), np.nan)),
    "bool with none": lambda y: with_unlabelled(y.astype(bool).tolist(), None),
    "pandas boolean": lambda y: pd.Series(with_unlabelled(y.astype(bool), pd.NA), dtype="boolean"),
    "pandas integers": lambda y: pd.Series(with_unlabelled(1 - 2 * y, pd.NA), dtype="Int64"),
    "polars": lambda y: pl.Series(with_unlabelled(y.tolist(), None)),
}


def test_every_coding_of_labels_gives_the_same_numbers(detector, task):
    X, y, query, query_y = task
    expected = clone(detector).fit(X, y)
    scores, auc = expected.score_samples(query), expected.score(query, query_y)
    for name, code in CODINGS.items():
        fitted = detector.fit(X, code(y))
        assert fitted.offset_ == expected.offset_, name
        np.testing.assert_array_equal(fitted.score_samples(query), scores, err_msg=name)
        assert fitted.score(query, code(query_y)) == auc, name


def test_every_mark_of_an_unlabelled_row_gives_the_same_numbers(detector, task):
    X, y, query, query_y = task
    marked = np.array(with_unlabelled(y.astype(float).tolist(), np.nan))
    expected = clone(detector).fit(X, marked)
    decision = expected.decision_function(query)
    auc = roc_auc_score(np.delete(query_y, np.s_[::3]), np.delete(-decision, np.s_[::3]))
    for name, code in CODINGS_WITH_UNLABELLED.items():
        fitted = detector.fit(X, code(y))
        np.testing.assert_array_equal(fitted.support_y_, expected.support_y_, err_msg=name)
        np.testing.assert_array_equal(fitted.decision_function(query), decision, err_msg=name)
        assert fitted.score(query, code(query_y)) == pytest.approx(auc), name


@pytest.mark.parametrize("y", [[0] * 12, [False] * 12, [np.nan] * 12, [None, 0] * 6])
def test_labels_without_an_anomaly_equal_no_labels(detector, task, y):
    if isinstance(detector, InContextDetector) and y[0] != 0:
        pytest.skip("InContextDetector doubts rows that are marked as unlabelled")
    X, query = task[0][:12], task[2]
    expected = clone(detector).fit(X).decision_function(query)
    np.testing.assert_array_equal(detector.fit(X, y).decision_function(query), expected)


def test_labels_change_the_scores(detector, task):
    X, y, query, _ = task
    assert (
        clone(detector).fit(X, y).score_samples(query) != detector.fit(X).score_samples(query)
    ).all()


def test_score_takes_the_anomaly_as_positive_in_each_coding(detector, task):
    X, y, query, query_y = task
    detector.fit(X, y)
    expected = roc_auc_score(query_y, -detector.score_samples(query))
    assert expected != 0.5
    for coding in CODINGS.values():
        assert detector.score(query, coding(query_y)) == pytest.approx(expected)


def test_frames_give_the_numbers_of_arrays(detector, task):
    X, y, query, _ = task
    expected = clone(detector).fit(X, y).decision_function(query)
    names = [f"sensor {j}" for j in range(X.shape[1])]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        fitted = clone(detector).fit(frame, y)
        assert list(fitted.feature_names_in_) == names
        scores = fitted.decision_function(type(frame)(dict(zip(names, query.T, strict=True))))
        np.testing.assert_array_equal(scores, expected)


# --- predictions ----------------------------------------------------------------------------------
def test_predict_is_the_sign_of_the_decision_function(detector, task):
    X, y, query, _ = task
    detector.fit(X, y)
    decision = detector.decision_function(query)
    np.testing.assert_array_equal(decision, detector.score_samples(query) - detector.offset_)
    np.testing.assert_array_equal(detector.predict(query), np.where(decision >= 0, 1, -1))
    assert set(detector.predict(query)) == {1, -1}


def test_fit_predict_passes_the_labels_on(detector, task):
    X, y, query, _ = task
    labels = clone(detector).fit_predict(X, y)
    detector.fit_predict(X, y)
    np.testing.assert_array_equal(labels, detector.predict(X))
    assert (detector.support_y_ == y).all()
    expected = clone(detector).fit(X, y).decision_function(query)
    np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.25, 0.5])
def test_contamination_flags_that_share_of_the_fitted_rows(detector, contamination):
    X, y, query, _ = new_task(n_support=40, k_support=10)
    detector.set_params(contamination=contamination).fit(X, y)
    flagged = (detector.predict(X) == -1).mean()
    assert abs(flagged - contamination) <= 1 / len(X)
    expected = clone(detector).set_params(contamination="auto").fit(X, y).score_samples(query)
    np.testing.assert_array_equal(detector.score_samples(query), expected)


# --- one row, many rows, many threads -------------------------------------------------------------
@pytest.mark.parametrize("n_support", [12, 700])
def test_a_row_scores_the_same_alone_in_a_batch_and_in_little_memory(detector, n_support):
    X, y, query, _ = new_task(n_support=n_support, n_query=300)
    detector.fit(X, y)
    batch = detector.score_samples(query)
    some = list(range(0, len(query), 23))
    alone = np.concatenate([detector.score_samples(query[i : i + 1]) for i in some])
    np.testing.assert_array_equal(alone, batch[some])
    np.testing.assert_array_equal(detector.score_samples(query[::-1])[::-1], batch)
    with config_context(working_memory=1):
        np.testing.assert_array_equal(detector.score_samples(query), batch)
        np.testing.assert_array_equal(detector.predict(query[:1]), detector.predict(query)[:1])


def in_threads(function):
    """Results of a function called with 0 to 7 in threads that start together."""
    start = Barrier(N_THREADS)

    def run(i):
        start.wait()
        return function(i)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(run, range(N_THREADS)))


def test_threads_scoring_at_once_agree_with_one(detector, task):
    X, y, query, _ = task
    expected = clone(detector).fit(X, y).decision_function(query)
    restored = pickle.loads(pickle.dumps(detector.fit(X, y)))  # builds its module when first used
    for fitted in (detector, restored):
        for scores in in_threads(lambda i, fitted=fitted: fitted.decision_function(query)):
            np.testing.assert_array_equal(scores, expected)


def test_threads_fitting_clones_that_share_a_state_agree_with_one(detector, task):
    X, y, query, _ = task
    digest = getattr(detector.pretrained, "sha256", None)
    rows = [np.delete(np.arange(len(X)), i) for i in range(N_THREADS)]
    alone = [clone(detector).fit(X[r], y[r]).decision_function(query) for r in rows]
    together = in_threads(
        lambda i: clone(detector).fit(X[rows[i]], y[rows[i]]).decision_function(query)
    )
    for scores, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(scores, expected)
    assert getattr(detector.pretrained, "sha256", None) == digest


# --- randomness -----------------------------------------------------------------------------------
def global_state():
    return (
        pickle.dumps(np.random.get_state()),  # noqa: NPY002
        torch.random.get_rng_state().numpy().tobytes(),
        random.getstate(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


class Failing(Callback):
    """Raises at the end of the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise OSError("disk full")


@pytest.mark.parametrize("name", META_FITTED)
def test_global_random_states_and_threads_stay_as_they_are(name, family, task):
    X, y, query, query_y = task
    before = global_state()
    detector = make_detector(name).set_params(random_state=None, **THREE_EPOCHS)
    detector.set_params(random_state=3).meta_fit(family)
    assert global_state() == before
    detector.fit(X, y).score(query, query_y)
    assert global_state() == before
    with pytest.raises(OSError, match="disk full"):
        detector.set_params(callbacks=[Failing()]).meta_fit(family)
    assert global_state() == before
    with pytest.raises(ValueError, match="infinity"):
        detector.fit(np.full_like(X, np.inf))
    assert global_state() == before


@pytest.mark.parametrize("name", META_FITTED)
def test_the_same_seed_twice_gives_equal_states_and_another_differs(name, family):
    detector, family = make_detector(name).set_params(**THREE_EPOCHS), family[:5]
    first = clone(detector).meta_fit(family).pretrained
    again = detector.meta_fit(family).pretrained
    assert again == first
    assert again is not first
    assert detector.meta_fit(family).pretrained == first  # a second call starts afresh
    for array, other in zip(first.arrays.values(), again.arrays.values(), strict=True):
        np.testing.assert_array_equal(array, other)
    assert clone(detector).set_params(random_state=1).meta_fit(family).pretrained != first


@pytest.mark.parametrize("name", META_FITTED)
def test_every_form_of_tasks_gives_an_equal_state(name, family):
    detector, family = make_detector(name).set_params(**ONE_EPOCH), family[:5]
    expected = clone(detector).meta_fit(family).pretrained
    X = np.concatenate([X_t for X_t, _ in family])
    y = np.concatenate([y_t for _, y_t in family])
    groups = np.repeat(np.arange(len(family)), [len(y_t) for _, y_t in family])
    forms = {
        "dict": ({f"pump {i}": pair for i, pair in enumerate(family)}, None, None),
        "generator": (((X_t, y_t) for X_t, y_t in family), None, None),
        "task set": (TaskSet(family), None, None),
        "signed labels": ([(X_t, 1 - 2 * y_t) for X_t, y_t in family], None, None),
        "two lists": ([X_t for X_t, _ in family], [y_t for _, y_t in family], None),
        "flat": (X, y, groups),
        "flat series": (X, pd.Series(y), pd.Series([f"pump {g}" for g in groups])),
    }
    for form, (X_form, y_form, groups_form) in forms.items():
        state = clone(detector).meta_fit(X_form, y_form, groups=groups_form).pretrained
        assert state == expected, form


# --- meta-learned state ---------------------------------------------------------------------------
def test_clone_keeps_the_meta_learned_state_and_drops_the_fit(detector, task):
    X, y, _, _ = task
    state = detector.pretrained
    cloned = clone(detector.fit(X, y))
    assert cloned.pretrained is detector.pretrained is state
    assert not [name for name in vars(cloned) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        cloned.predict(X)


# what changes scores without any training
SETTINGS = {
    "anomaly_score": "nll",
    "n_masks": 4,
    "n_latent_samples": 3,
    "inner_steps": 1,
    "scaler": "robust",
    "alpha": 0.3,
}


def test_parameters_set_after_fit_count_at_the_next_fit_only(detector, task):
    X, y, query, _ = task
    expected = detector.fit(X, y).decision_function(query)
    changed = {name: SETTINGS[name] for name in detector.get_params() if name in SETTINGS}
    detector.set_params(**changed)
    for same in (detector, pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(same.decision_function(query), expected)


@pytest.mark.parametrize("name", META_FITTED)
def test_fit_after_meta_fit_uses_what_was_learned(name, task):
    X, y, query, _ = task
    detector = make_detector(name)
    untrained = clone(detector).set_params(pretrained=None).fit(X, y).score_samples(query)
    learned = detector.fit(X, y).score_samples(query)
    assert detector.state_ is detector.pretrained
    assert not np.allclose(learned, untrained)


@pytest.mark.parametrize("name", META_FITTED)
def test_meta_fit_drops_a_former_fit_and_a_failed_one_keeps_it(name, family, task):
    X, y, query, _ = task
    detector = make_detector(name).set_params(**ONE_EPOCH).fit(X, y)
    expected, state = detector.decision_function(query), detector.pretrained
    for wrong in ([], [(np.full((9, 5), np.inf), None)], [(X, y), (X[:, :0], y)]):
        with pytest.raises(ValueError, match=r"infinity|task|Task"):
            detector.meta_fit(wrong)
        assert detector.pretrained is state
        np.testing.assert_array_equal(detector.decision_function(query), expected)
    detector.meta_fit(family)
    assert detector.pretrained is not state
    with pytest.raises(NotFittedError, match="call 'fit' with the support rows"):
        detector.predict(query)


def test_not_fitted_says_what_is_still_to_come(detector, task):
    expected = "is not fitted yet. Call 'fit' with appropriate arguments"
    if detector.pretrained is not None:
        expected = "has meta-learned weights but is not fitted yet: call 'fit' with the support"
    for method in methods_of(
        detector, "score_samples", "decision_function", "predict", "transform"
    ):
        with pytest.raises(NotFittedError, match=expected):
            getattr(detector, method)(task[2])


@pytest.mark.parametrize("name", META_FITTED)
def test_a_saved_state_gives_the_same_scores(name, task, tmp_path):
    X, y, query, _ = task
    detector = make_detector(name).fit(X, y)
    path = tmp_path / "learned.safetensors"
    detector.pretrained.save(path)
    assert MetaState.load(path) == detector.pretrained
    for pretrained in (path, str(path), MetaState.load(path)):
        other = clone(detector).set_params(pretrained=pretrained).fit(X, y)
        np.testing.assert_array_equal(
            other.decision_function(query), detector.decision_function(query)
        )


@pytest.mark.parametrize(
    ("name", "parameter", "value", "learned"),
    [
        ("meta-fitted", "embedding", "mlp", "pooled"),
        ("meta-fitted", "evidence", ["nearest_scaled"], "mahalanobis_raw"),
        ("meta-fitted", "embedding_dim", 3, "None"),
        ("meta-fitted", "scaler", "robust", "none"),
        ("any width", "evidence", ["nearest_scaled"], "mahalanobis_raw"),
        ("meta-fitted mlp", "embedding", "pooled", "mlp"),
        ("meta-fitted mlp", "embedding_dim", 3, "8"),
        ("meta-fitted mlp", "hidden", (7,), "16"),
        ("residual maml", "learner", "svdd", "classifier"),
        ("residual maml", "algorithm", "anil", "maml"),
        ("residual maml", "n_inner_steps", 7, "5"),
        ("residual maml", "inner_lr", 0.5, "learned"),
        ("residual maml", "inject", False, "True"),
        ("residual maml", "residual", False, "True"),
        ("residual maml", "hidden", (7,), "16"),
        ("reptile autoencoder", "embedding_dim", 4, "2"),
        ("metasgd one-class", "inner_batch", "as-given", "one-class"),
        ("meta-fitted tnp", "kind", "cnp", "tnp"),
        ("meta-fitted tnp", "likelihood", "gaussian", "student-t"),
        ("meta-fitted np", "embedding_dim", 16, "8"),
        ("meta-fitted np", "n_layers", 3, "2"),
    ],
)
def test_architecture_in_conflict_with_the_state_is_refused_with_both_values(
    name, parameter, value, learned, task
):
    detector = make_detector(name).set_params(**{parameter: value})
    with pytest.raises(ValueError, match="meta-learned state") as caught:
        detector.fit(*task[:2])
    shown = value[0] if isinstance(value, (list, tuple)) else value
    for part in (parameter, str(shown), learned):
        assert part in str(caught.value)


def test_state_of_another_class_is_refused(task):
    foreign = MetaState("MAMLDetector", {}, {}, None)
    with pytest.raises(ValueError, match="state of a MAMLDetector, not of a ProtoNetDetector"):
        ProtoNetDetector(pretrained=foreign).fit(*task[:2])
    with pytest.raises(ValueError, match="state of a ProtoNetDetector, not of a MAMLDetector"):
        MAMLDetector(pretrained=make_detector("meta-fitted").pretrained).fit(*task[:2])


# --- copies ---------------------------------------------------------------------------------------
def through_joblib(detector, path):
    joblib.dump(detector, path)
    return joblib.load(path, mmap_mode="r")


COPIES = {
    "pickle": lambda detector, path: pickle.loads(pickle.dumps(detector)),
    "joblib": through_joblib,
    "deepcopy": lambda detector, path: copy.deepcopy(detector),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_score_alike_and_go_on_working(detector, task, tmp_path, way):
    X, y, query, query_y = task
    detector.fit(X, y)
    other = COPIES[way](detector, tmp_path / "detector.joblib")
    np.testing.assert_array_equal(other.decision_function(query), detector.decision_function(query))
    for method in methods_of(detector, "transform", "feature_errors"):
        np.testing.assert_array_equal(
            getattr(other, method)(query), getattr(detector, method)(query)
        )
    assert other.pretrained == detector.pretrained
    assert other.score(query, query_y) == detector.score(query, query_y)
    more, more_y = query[:3], query_y[:3]
    np.testing.assert_array_equal(
        other.partial_fit(more, more_y).score_samples(query),
        detector.partial_fit(more, more_y).score_samples(query),
    )


@pytest.mark.parametrize("name", META_FITTED)
def test_a_pickle_holds_no_optimiser_and_no_training_rows(name, task):
    detector = make_detector(name).fit(*task[:2])
    file = io.BytesIO()
    pickle.dump(detector, file)
    assert b"skorch" not in file.getvalue()
    assert b"optim" not in file.getvalue().replace(b"optimizer", b"")
    rows = [row.tobytes() for X, _ in make_family() for row in X]
    assert not [row for row in rows if row in file.getvalue()]
    assert task[0][0].tobytes() in file.getvalue()  # as the rows of the support are


# --- refitting ------------------------------------------------------------------------------------
def test_partial_fit_equals_one_fit_on_all_rows(detector, task):
    X, y, query, _ = task
    order = np.array([0, 1, 2, 13, 3, 4, 14, 5, 6, 12, 7, 8, 9, 10, 11, 15])
    y = 1 - 2 * y  # the coding in which a chunk of anomalies only says so
    expected = clone(detector).fit(X[order], y[order])
    for ends in ([0, 5, 16], [0, 3, 4, 9, 16]):
        grown = clone(detector)
        for start, end in pairwise(ends):
            grown.partial_fit(X[order[start:end]], y[order[start:end]])
        assert grown.offset_ == expected.offset_
        np.testing.assert_array_equal(grown.score_samples(query), expected.score_samples(query))


def test_the_order_of_the_support_does_not_matter(detector, task):
    X, y, query, _ = task
    y = np.where(np.arange(len(y)) == 2, np.nan, y)
    expected = clone(detector).fit(X, y)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(X))
        shuffled = clone(detector).fit(X[order], y[order])
        assert shuffled.offset_ == expected.offset_
        np.testing.assert_array_equal(shuffled.score_samples(query), expected.score_samples(query))


def test_fit_again_forgets_the_former_rows(detector, task):
    X, y, query, _ = task
    other_X, other_y, _, _ = new_task(seed=5)
    expected = clone(detector).fit(X, y).decision_function(query)
    np.testing.assert_array_equal(
        detector.fit(other_X, other_y).fit(X, y).decision_function(query), expected
    )


BAD_INPUT = {
    "infinity": lambda X, y: ({}, np.where(np.eye(*X.shape) > 0, np.inf, X), y),
    "inconsistent numbers": lambda X, y: ({}, X, y[1:]),
    "Unknown label type": lambda X, y: ({}, X, np.arange(len(y)) % 3 + 4),
    "rows as anomalies": lambda X, y: ({"outlier_label": 1}, X, np.ones(len(y))),
    "at least 2 normal": lambda X, y: ({}, X[-5:], [0, 1, 1, 1, 1]),
    "1 sample": lambda X, y: ({}, X[:1], None),
    "1D array": lambda X, y: ({}, X[0], None),
    "'contamination' parameter": lambda X, y: ({"contamination": 0.7}, X, y),
    "'alpha' parameter": lambda X, y: ({"alpha": 2.0}, X, y),
}


def test_a_failed_fit_leaves_the_former_one_usable(detector, task):
    X, y, query, query_y = task
    detector.fit(X, y)
    expected = detector.decision_function(query)
    for message, spoil in BAD_INPUT.items():
        parameters, bad_X, bad_y = spoil(X, y)
        former = {name: getattr(detector, name) for name in parameters}
        detector.set_params(**parameters)
        with pytest.raises(ValueError, match=message):
            detector.fit(bad_X, bad_y)
        detector.set_params(**former)
        np.testing.assert_array_equal(detector.decision_function(query), expected, err_msg=message)
        assert len(detector.support_X_) == len(X), message
    detector.partial_fit(query[:2], query_y[:2])
    assert len(detector.support_X_) == len(X) + 2


def test_a_failed_partial_fit_leaves_the_former_fit_usable(detector, task):
    X, y, query, _ = task
    expected = detector.fit(X, y).decision_function(query)
    bad_input = {
        "4 features": (X[:, 1:], y),
        "inconsistent numbers": (X, y[1:]),
        "infinity": (np.full_like(X, np.inf), y),
    }
    for message, (bad_X, bad_y) in bad_input.items():
        with pytest.raises(ValueError, match=message):
            detector.partial_fit(bad_X, bad_y)
        np.testing.assert_array_equal(detector.decision_function(query), expected)


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_a_width_that_the_state_does_not_know_leaves_the_former_fit_usable(name, task):
    X, y, query, _ = task
    detector = make_detector(name).fit(X, y)
    expected = detector.decision_function(query)
    with pytest.raises(ValueError, match=r"X has 4 features, but \w+Detector .* 5 features"):
        detector.fit(X[:, 1:], y)
    assert detector.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(detector.decision_function(query), expected)


# --- searches -------------------------------------------------------------------------------------
def test_a_search_in_a_pipeline_gives_the_scores_of_the_detector_alone(meta_fitted):
    X, y, query, query_y = new_task(n_support=30, k_support=6)
    X, y = np.concatenate([X, query]), np.concatenate([y, query_y])
    cv = FewShotSplit(6, 1, n_draws=4, random_state=0)
    pipe = Pipeline([("keep", FunctionTransformer()), ("detector", clone(meta_fitted))])
    grid = [{"detector__alpha": [0.05, 0.2]}, {"detector__contamination": [0.1, "auto"]}]
    search = GridSearchCV(pipe, grid, cv=cv, n_jobs=2).fit(X, y)
    alone = cross_val_score(clone(meta_fitted), X, y, cv=cv)
    for i in range(cv.get_n_splits(X, y)):
        np.testing.assert_array_equal(search.cv_results_[f"split{i}_test_score"], alone[i])
    assert search.best_estimator_[-1].pretrained == meta_fitted.pretrained
    expected = clone(meta_fitted).set_params(alpha=search.best_params_.get("detector__alpha", 0.05))
    np.testing.assert_array_equal(search.score_samples(X), expected.fit(X, y).score_samples(X))
    untrained = cross_val_score(ProtoNetDetector(), X, y, cv=cv)
    assert alone.mean() > untrained.mean() + 0.02


def test_a_search_over_tasks_tries_architectures(family):
    detector = ProtoNetDetector(**{**QUICK, "max_epochs": 3})
    estimator = TaskEstimator(detector, splitter=FewShotSplit(6, 1, n_draws=2, random_state=0))
    grid = {"detector__embedding_dim": [2, None]}
    search = GridSearchCV(estimator, grid, cv=KFold(2), error_score="raise").fit(family)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores.min() > 0.6
    ranks = [
        clone(detector).set_params(embedding_dim=q).meta_fit(family).pretrained for q in (2, None)
    ]
    assert [len(state.arrays["pooled_raw_gain"]) for state in ranks] == [2, 5]
    X, y, query, query_y = new_task()
    assert search.best_estimator_.detector_.fit(X, y).score(query, query_y) > 0.8


# --- imports --------------------------------------------------------------------------------------
def test_importing_the_package_does_not_import_torch():
    program = (
        "import sys, sklearn_fsad; assert 'torch' not in sys.modules;"
        "dir(sklearn_fsad); sklearn_fsad.TaskSet; sklearn_fsad.FewShotSplit;"
        "assert 'torch' not in sys.modules; sklearn_fsad.ProtoNetDetector;"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("first", "more", "anomalous"), [([0, 0, 0, 1], [1, 1], 3), ([1, 1, 1, -1], [1, 1], 1)]
)
def test_ones_in_a_later_chunk_mean_what_they_meant_in_the_first(first, more, anomalous):
    X = np.random.default_rng(0).normal(size=(6, 2))
    detector = ProtoNetDetector().fit(X[:4], first).partial_fit(X[4:], more)
    assert (detector.support_y_ == 1).sum() == anomalous

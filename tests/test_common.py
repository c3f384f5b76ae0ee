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
    assert_same_support,
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
    NeuralProcessDetector,
    ProtoNetDetector,
    TaskEstimator,
    TaskSet,
)

N_THREADS = 8
ONE_EPOCH = {"max_epochs": 1, "episodes_per_epoch": 8}
THREE_EPOCHS = {"max_epochs": 3, "episodes_per_epoch": 8}

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


# Behind the door kinds and learners differ: tests of each of them are those of their methods
CHECKED = [*map(make_detector, ANY_WIDTH), self_taught("classifier"), brief_process("tnp")]


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
TEXT = np.array(["good", "bad"])  # where outlier_label says which of them is the anomaly
CODINGS_WITH_UNLABELLED = {
    "none": lambda y: with_unlabelled(y.tolist(), None),
    "signed with nan": lambda y: np.array(with_unlabelled((1.0 - 2 * y).tolist(), np.nan)),
    "bool with none": lambda y: with_unlabelled(y.astype(bool).tolist(), None),
    "pandas boolean": lambda y: pd.Series(with_unlabelled(y.astype(bool), pd.NA), dtype="boolean"),
    "pandas integers": lambda y: pd.Series(with_unlabelled(1 - 2 * y, pd.NA), dtype="Int64"),
    "polars": lambda y: pl.Series(with_unlabelled(y.tolist(), None)),
}


def test_every_coding_of_labels_gives_the_same_numbers(each_class, task):
    X, y, query, query_y = task
    expected = clone(each_class).fit(X, y)
    scores, auc = expected.score_samples(query), expected.score(query, query_y)
    for name, code in CODINGS.items():
        fitted = each_class.fit(X, code(y))
        assert_same_support(fitted, expected)
        assert fitted.offset_ == expected.offset_, name
        np.testing.assert_array_equal(fitted.score_samples(query), scores, err_msg=name)
        assert fitted.score(query, code(query_y)) == auc, name
    fitted = clone(each_class).set_params(outlier_label="bad").fit(X, TEXT[y])
    assert_same_support(fitted, expected)
    assert fitted.score(query, TEXT[query_y]) == auc


def test_every_mark_of_an_unlabelled_row_gives_the_same_numbers(each_class, task):
    X, y, query, query_y = task
    marked = np.array(with_unlabelled(y.astype(float).tolist(), np.nan))
    expected = clone(each_class).fit(X, marked)
    decision = expected.decision_function(query)
    auc = roc_auc_score(np.delete(query_y, np.s_[::3]), np.delete(-decision, np.s_[::3]))
    for name, code in CODINGS_WITH_UNLABELLED.items():
        fitted = each_class.fit(X, code(y))
        assert_same_support(fitted, expected)
        np.testing.assert_array_equal(fitted.decision_function(query), decision, err_msg=name)
        assert fitted.score(query, code(query_y)) == pytest.approx(auc), name


@pytest.mark.parametrize("y", [[0] * 12, [False] * 12, [np.nan] * 12, [None, 0] * 6])
def test_labels_without_an_anomaly_equal_no_labels(each_class, task, y):
    if isinstance(each_class, InContextDetector) and y[0] != 0:
        pytest.skip("InContextDetector doubts rows that are marked as unlabelled")
    X, query = task[0][:12], task[2]
    expected = clone(each_class).fit(X).decision_function(query)
    np.testing.assert_array_equal(each_class.fit(X, y).decision_function(query), expected)


def test_labels_change_the_scores(ready, task):
    X, _, query, _ = task
    assert (ready.score_samples(query) != clone(ready).fit(X).score_samples(query)).all()


def test_score_takes_the_anomaly_as_positive_in_each_coding(each_class, task):
    X, y, query, query_y = task
    each_class.fit(X, y)
    expected = roc_auc_score(query_y, -each_class.score_samples(query))
    assert expected != 0.5
    for coding in CODINGS.values():
        assert each_class.score(query, coding(query_y)) == pytest.approx(expected)


def test_frames_give_the_numbers_of_arrays(each_class, task):
    X, y, query, _ = task
    expected = clone(each_class).fit(X, y).decision_function(query)
    names = [f"sensor {j}" for j in range(X.shape[1])]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        fitted = clone(each_class).fit(frame, y)
        assert list(fitted.feature_names_in_) == names
        assert_same_support(fitted, clone(each_class).fit(X, y))
        scores = fitted.decision_function(type(frame)(dict(zip(names, query.T, strict=True))))
        np.testing.assert_array_equal(scores, expected)


# --- predictions ----------------------------------------------------------------------------------
def test_predict_is_the_sign_of_the_decision_function(each_class, task):
    X, y, query, _ = task
    each_class.fit(X, y)
    decision = each_class.decision_function(query)
    np.testing.assert_array_equal(decision, each_class.score_samples(query) - each_class.offset_)
    np.testing.assert_array_equal(each_class.predict(query), np.where(decision >= 0, 1, -1))
    assert set(each_class.predict(query)) == {1, -1}


def test_fit_predict_passes_the_labels_on(each_class, task):
    X, y, query, _ = task
    labels = clone(each_class).fit_predict(X, y)
    each_class.fit_predict(X, y)
    np.testing.assert_array_equal(labels, each_class.predict(X))
    assert (each_class.support_y_ == y).all()
    expected = clone(each_class).fit(X, y).decision_function(query)
    np.testing.assert_array_equal(each_class.decision_function(query), expected)


@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.25, 0.5])
def test_contamination_flags_that_share_of_the_fitted_rows(each_class, contamination):
    X, y, query, _ = new_task(n_support=40, k_support=10)
    each_class.set_params(contamination=contamination).fit(X, y)
    flagged = (each_class.predict(X) == -1).mean()
    assert abs(flagged - contamination) <= 1 / len(X)
    expected = clone(each_class).set_params(contamination="auto").fit(X, y).score_samples(query)
    np.testing.assert_array_equal(each_class.score_samples(query), expected)


# --- one row, many rows, many threads -------------------------------------------------------------
@pytest.mark.parametrize("n_support", [12, 700])
def test_a_row_scores_the_same_alone_in_a_batch_and_in_little_memory(detector, n_support):
    X, y, query, _ = new_task(n_support=n_support, n_query=300)
    detector.fit(X, y)
    batch = detector.score_samples(query)
    some = list(range(0, len(query), 23))
    alone = np.concatenate([detector.score_samples(query[i : i + 1]) for i in some])
    np.testing.assert_array_equal(alone, batch[some])
    chunks = np.split(query, [1, 4, 130, 131])
    np.testing.assert_array_equal(np.concatenate([*map(detector.score_samples, chunks)]), batch)
    np.testing.assert_array_equal(detector.score_samples(query[::-1])[::-1], batch)
    with config_context(working_memory=1):
        np.testing.assert_array_equal(detector.score_samples(query), batch)
        np.testing.assert_array_equal(detector.predict(query[:1]), detector.predict(query)[:1])


def test_what_is_said_of_a_row_is_the_same_alone_and_in_any_chunk(ready, task):
    query = task[2][:20]
    for method in methods_of(ready, "transform", "feature_scores"):
        function = getattr(ready, method)
        whole = function(query)
        for parts in (np.split(query, [3, 4, 11]), np.split(query, len(query))):
            np.testing.assert_array_equal(np.concatenate([*map(function, parts)]), whole)


def in_threads(function):
    """Results of a function called with 0 to 7 in threads that start together."""
    start = Barrier(N_THREADS)

    def run(i):
        start.wait()
        return function(i)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(run, range(N_THREADS)))


def test_threads_scoring_at_once_agree_with_one(ready, task):
    query = task[2]
    restored = pickle.loads(pickle.dumps(ready))  # builds its module when first used
    expected = ready.decision_function(query)
    for fitted in (ready, restored):
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
def test_clone_keeps_the_meta_learned_state_and_drops_the_fit(every_name, ready, task):
    cloned = clone(ready)
    assert cloned.pretrained is ready.pretrained
    if every_name in META_FITTED:
        assert cloned.pretrained is ready.state_
    assert not [name for name in vars(cloned) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        cloned.predict(task[2])


# what changes scores without any training, of each class
SETTINGS = {
    ProtoNetDetector: {"scaler": "robust", "alpha": 0.3},
    MAMLDetector: {"n_inner_steps": 1, "inner_lr": 0.7, "scaler": "robust", "alpha": 0.3},
    NeuralProcessDetector: {
        "anomaly_score": "nll",
        "n_masks": 4,
        "n_latent_samples": 3,
        "scaler": "robust",
        "alpha": 0.3,
    },
    InContextDetector: {"support_contamination": 0.3, "alpha": 0.3},
}


def test_parameters_set_after_fit_count_at_the_next_fit_only(ready, task):
    query = task[2]
    expected = ready.decision_function(query)
    changed = SETTINGS[type(ready)]
    former = {name: ready.get_params()[name] for name in changed}  # each of them exists
    assert not [name for name in changed if former[name] == changed[name]]
    ready.set_params(**changed)
    for same in (ready, pickle.loads(pickle.dumps(ready))):
        np.testing.assert_array_equal(same.decision_function(query), expected)


@pytest.mark.parametrize("name", META_FITTED)
def test_fit_after_meta_fit_uses_what_was_learned(name, fitted, task):
    X, y, query, _ = task
    detector = fitted[name]
    untrained = clone(detector).set_params(pretrained=None).fit(X, y).score_samples(query)
    learned = detector.score_samples(query)
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


def test_not_fitted_says_what_is_still_to_come(each_class, task):
    expected = "is not fitted yet. Call 'fit' with appropriate arguments"
    if each_class.pretrained is not None:
        expected = "has meta-learned weights but is not fitted yet: call 'fit' with the support"
    for method in methods_of(
        each_class, "score_samples", "decision_function", "predict", "transform"
    ):
        with pytest.raises(NotFittedError, match=expected):
            getattr(each_class, method)(task[2])


def test_a_saved_state_gives_the_same_scores(every_name, ready, task, tmp_path):
    X, y, query, _ = task
    detector, path = ready, tmp_path / "learned.safetensors"
    detector.state_.save(path)
    assert MetaState.load(path) == detector.state_
    if every_name not in META_FITTED:
        return
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
def test_copies_score_alike_and_go_on_working(ready, task, tmp_path, way):
    _, _, query, query_y = task
    other = COPIES[way](ready, tmp_path / "detector.joblib")
    np.testing.assert_array_equal(other.decision_function(query), ready.decision_function(query))
    for method in methods_of(ready, "transform", "feature_errors"):
        np.testing.assert_array_equal(getattr(other, method)(query), getattr(ready, method)(query))
    assert other.pretrained == ready.pretrained
    assert other.score(query, query_y) == ready.score(query, query_y)
    more, more_y = query[:3], query_y[:3]
    np.testing.assert_array_equal(
        other.partial_fit(more, more_y).score_samples(query),
        ready.partial_fit(more, more_y).score_samples(query),
    )


@pytest.mark.parametrize("name", META_FITTED)
def test_a_pickle_holds_no_optimiser_and_no_training_rows(name, fitted, task):
    file = io.BytesIO()
    pickle.dump(fitted[name], file)
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


def test_fit_again_forgets_the_former_rows(ready, task):
    X, y, query, _ = task
    other_X, other_y, _, _ = new_task(seed=5)
    expected = ready.decision_function(query)
    np.testing.assert_array_equal(
        ready.fit(other_X, other_y).fit(X, y).decision_function(query), expected
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


def test_a_failed_fit_leaves_the_former_one_usable(each_class, task):
    X, y, query, query_y = task
    each_class.fit(X, y)
    expected = each_class.decision_function(query)
    for message, spoil in BAD_INPUT.items():
        parameters, bad_X, bad_y = spoil(X, y)
        former = {name: getattr(each_class, name) for name in parameters}
        each_class.set_params(**parameters)
        with pytest.raises(ValueError, match=message):
            each_class.fit(bad_X, bad_y)
        each_class.set_params(**former)
        np.testing.assert_array_equal(
            each_class.decision_function(query), expected, err_msg=message
        )
        assert len(each_class.support_X_) == len(X), message
    each_class.partial_fit(query[:2], query_y[:2])
    assert len(each_class.support_X_) == len(X) + 2


def test_a_failed_partial_fit_leaves_the_former_fit_usable(each_class, task):
    X, y, query, _ = task
    expected = each_class.fit(X, y).decision_function(query)
    bad_input = {
        "4 features": (X[:, 1:], y),
        "inconsistent numbers": (X, y[1:]),
        "infinity": (np.full_like(X, np.inf), y),
    }
    for message, (bad_X, bad_y) in bad_input.items():
        with pytest.raises(ValueError, match=message):
            each_class.partial_fit(bad_X, bad_y)
        np.testing.assert_array_equal(each_class.decision_function(query), expected)


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_a_width_that_the_state_does_not_know_leaves_the_former_fit_usable(name, fitted, task):
    X, y, query, _ = task
    detector = fitted[name]
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

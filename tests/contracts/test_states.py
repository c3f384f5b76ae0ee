"""Test meta-learned states and copies of fitted detectors, of every class."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from families import (
    META_FITTED,
    make_detector,
    make_family,
    methods_of,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_fsad import (
    MAMLDetector,
    MetaState,
    NeuralProcessDetector,
    ProtoNetDetector,
)

ONE_EPOCH = {"max_epochs": 1, "episodes_per_epoch": 8}


pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


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
}


def test_parameters_set_after_fit_count_at_the_next_fit_only(ready, task):
    query = task[2]
    expected = ready.decision_function(query)
    changed = SETTINGS.get(type(ready), {"support_contamination": 0.3, "alpha": 0.3})
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

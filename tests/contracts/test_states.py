"""Test meta-learned states and copies of fitted detectors, of every class."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from families import (
    META_FITTED,
    META_OF_EACH_CLASS,
    make_detector,
    make_family,
    methods_of,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_fsad import (
    MAMLDetector,
    MetaState,
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


class Unread:
    """A value that nobody may read."""

    def __eq__(self, other):
        raise AssertionError("a parameter was read")

    __bool__ = __hash__ = __float__ = __iter__ = None


READING = ("decision_function", "predict", "predict_proba", "predict_fdr", "feature_scores",
           "transform", "evidence_scores", "feature_errors", "predict_distribution",
           "sample_functions")  # fmt: skip


def told(detector, query, query_y):
    """All that a fitted detector says, in bytes."""
    answers = {name: getattr(detector, name)(query[:9]) for name in methods_of(detector, *READING)}
    names = methods_of(detector, "get_feature_names_out")
    answers["names"] = [list(getattr(detector, name)()) for name in names]
    answers["labels"] = detector.score(query, query_y), detector.classes_
    answers["diagnosis"] = str(detector.diagnose(query[-25:], query_y[-25:]))
    answers["report"] = getattr(detector, "adaptation_report_", None)
    answers["calibrated"] = copy.copy(detector).calibrate(query, query_y).offset_
    return pickle.dumps(answers)


def test_parameters_set_after_fit_count_at_the_next_fit_only(ready, task):
    _, _, query, query_y = task
    expected = told(ready, query, query_y)
    former = ready.get_params(deep=False)
    ready.set_params(**dict.fromkeys(former, Unread()))
    assert told(ready, query, query_y) == expected
    ready.set_params(**former)
    assert told(pickle.loads(pickle.dumps(ready)), query, query_y) == expected


def test_parameters_set_after_fit_count_in_partial_fit(task):
    X, y, query, query_y = task
    detector = ProtoNetDetector().fit(X[:9], y[:9]).set_params(contamination=0.3, scaler="robust")
    detector.partial_fit(X[9:], y[9:])
    expected = ProtoNetDetector(contamination=0.3, scaler="robust").fit(X, y)
    assert told(detector, query, query_y) == told(expected, query, query_y)


def test_set_threshold_sets_parameters_that_count_at_once_and_stay(each_class, task):
    X, y, query, _ = task
    detector = each_class.fit(X, y).set_params(alpha=0.5)
    detector.set_threshold(contamination=0.4)
    expected = clone(detector).fit(X, y)
    for fitted in (detector, pickle.loads(pickle.dumps(detector)), detector.fit(X, y)):
        assert fitted.offset_ == expected.offset_
        np.testing.assert_array_equal(fitted.predict_proba(query), expected.predict_proba(query))
        assert fitted._aim_of_threshold() == "share"


# --- subclasses -----------------------------------------------------------------------------------
def subclasses(cls):
    """Classes that change what is said, add parameters and defaults, or mix something in."""

    class Words(cls):
        def predict(self, X):
            return np.where(super().predict(X) == -1, "odd", "fine")

    class More(cls):
        def __init__(self, *, extra=1, alpha=0.1, **kwargs):
            super().__init__(alpha=alpha, **kwargs)
            self.extra = extra

    class MoreWords(More, Words):
        pass

    class Mixed(type("Mixin", (), {}), More):
        def __init__(self, *, mixed=True, **kwargs):
            super().__init__(**kwargs)
            self.mixed = mixed

    return Words, More, MoreWords, Mixed


@pytest.mark.parametrize("name", META_OF_EACH_CLASS)
def test_the_state_of_a_class_fits_its_subclasses(name, fitted, task, tmp_path):
    X, y, query, _ = task
    detector, path = fitted[name], tmp_path / "learned.safetensors"
    detector.pretrained.save(path)
    expected = detector.score_samples(query)
    for cls in subclasses(type(detector)):
        for pretrained in (detector.pretrained, path):
            other = cls(**{**detector.get_params(deep=False), "pretrained": pretrained})
            found = clone(other).fit(X, y).score_samples(query)
            np.testing.assert_array_equal(found, expected)


def test_the_state_of_a_subclass_fits_itself_and_its_subclasses_alone(task):
    X, y, query, _ = task
    settings = {**ONE_EPOCH, "embedding": "mlp", "scaler": "task", "n_normal": (4, 16)}
    _, more, more_words, _ = subclasses(ProtoNetDetector)
    learned = more(extra=2, random_state=0, **settings).meta_fit(make_family(4))
    assert learned.get_params()["extra"] == clone(learned).extra == 2
    expected = learned.fit(X, y).score_samples(query)
    other = more_words(**settings, pretrained=learned.pretrained).fit(X, y)
    np.testing.assert_array_equal(other.score_samples(query), expected)
    with pytest.raises(ValueError, match="state of a More, not of a ProtoNetDetector"):
        ProtoNetDetector(**settings, pretrained=learned.pretrained).fit(X, y)


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
    detector.meta_fit(family[:5])
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

"""Small families of tasks, and detectors meta-fitted on them, shared by the test modules."""

import copy
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad.datasets._made import related_task

TESTS = Path(__file__).parent  # what another process needs on its path
N_FEATURES = 5
SHOTS = {"n_normal": (4, 16), "n_anomalous": (0, 5), "n_query": 30}
QUICK = {**SHOTS, "episodes_per_epoch": 24, "max_epochs": 12, "random_state": 0}
QUICK_MIX = {**QUICK, "max_epochs": 2}  # each takes five steps


def make_task(rng, n_normal=40, n_anomalous=12, n_features=N_FEATURES):
    """Normals vary tenfold along two directions that all tasks share; anomalies leave elsewhere."""
    return related_task(rng, n_normal, n_anomalous, n_features)


@cache
def make_family(n_tasks=8, n_features=N_FEATURES, seed=0, n_normal=40, n_anomalous=12):
    """(X_t, y_t) of each task; read-only, for the tests share them."""
    rng = np.random.default_rng(seed)
    tasks = [make_task(rng, n_normal, n_anomalous, n_features) for _ in range(n_tasks)]
    for task in tasks:
        for part in task:
            part.flags.writeable = False
    return tasks


def new_task(seed=99, n_support=12, k_support=4, n_features=N_FEATURES, n_query=60):
    """Support rows, their labels, query rows and theirs, of a task outside the family."""
    X, y = make_task(np.random.default_rng(seed), n_support + n_query, k_support + 20, n_features)
    normal, anomalous = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    support = np.concatenate([normal[:n_support], anomalous[:k_support]])
    query = np.concatenate([normal[n_support:], anomalous[k_support:]])
    return X[support], y[support], X[query], y[query]


PLAIN = {
    "residual": False,
    "gate": False,
    "augment": False,
    "hidden": (16,),
}  # a network that stands on its own
MAML = {
    "residual maml": {"gate": False, "augment": False, "hidden": (16,)},
    "residual anil": {
        "learner": "autoencoder",
        "algorithm": "anil",
        "gate": False,
        "augment": True,
    },
    "fomaml svdd": {**PLAIN, "learner": "svdd", "algorithm": "fomaml"},
    "metasgd one-class": {**PLAIN, "algorithm": "metasgd", "inner_batch": "one-class"},
    "reptile autoencoder": {**PLAIN, "learner": "autoencoder", "algorithm": "reptile"},
}
BRIEF = {
    "max_epochs": 2,
    "episodes_per_epoch": 16,
    "embedding_dim": 8,
    "n_masks": 2,
    "lr": 0.03,
    "random_state": 0,
}
PROCESSES = {
    "meta-fitted tnp": {"kind": "tnp", "n_layers": 1, "gate": False},
    "meta-fitted np": {"kind": "np", "gate": False, "n_latent_samples": 4},
}


def unlearned(name):
    """A detector of ``META_FITTED`` before its meta_fit."""
    if name == "support":
        return ProtoNetDetector(evidence="support", **QUICK_MIX)
    if name == "in context":
        settings = {**QUICK, "max_epochs": 2, "episodes_per_epoch": 16}
        return InContextDetector(**settings, pretrained=None)
    if name in MAML:
        return MAMLDetector(**{**QUICK, **MAML[name]})
    if name in PROCESSES:
        return NeuralProcessDetector(**{**SHOTS, **BRIEF, **PROCESSES[name]})
    if name == "mlp":
        return ProtoNetDetector(embedding="mlp", hidden=(16,), embedding_dim=8, **QUICK)
    return ProtoNetDetector(**QUICK_MIX)


FEW_TREES = {  # forests as small as tests of a contract need
    "sklearn_fsad._evidence.table_anomalies._N_TREES": 6,
    "sklearn_fsad._evidence.table_anomalies._N_TREES_OF_PART": 3,
    "sklearn_fsad._evidence.table_classifiers._N_TREES": 6,
    "sklearn_fsad._evidence.table_classifiers._N_TREES_OF_PART": 3,
}
_CURVE = "sklearn_fsad._detectors.base.probability._MOST_EPISODES"
FEW_LESSONS = {  # what methods learn beside the epochs of their network
    "sklearn_fsad._detectors.maml.learning.MIX_EPOCHS": 1,
    "sklearn_fsad._detectors.maml.learning._SELF_TAUGHT_EPISODES": 8,
    "sklearn_fsad._detectors.maml.learning._SELF_TAUGHT_EPOCHS": 2,
    "sklearn_fsad._detectors.neural_process.knowledge._EPISODES_A_TASK": 1,
    "sklearn_fsad._detectors.neural_process.label_weights.MIX_EPOCHS": 1,
    _CURVE: 4,
}


@contextmanager
def little_work():
    """Small forests and few lessons, for what is made once: whichever test asks first.

    There are more for the curve of probabilities, which tests look at.
    """
    with ExitStack() as small:
        for part, size in {**FEW_TREES, **FEW_LESSONS, _CURVE: 12}.items():
            small.enter_context(patch(part, size))
        yield


@cache
def _meta_fitted(name):
    tasks = make_family()
    if name in ("support", "in context"):
        tasks = [*make_family(4), *make_family(2, n_features=3, seed=1)]
    if name == "support":
        tasks += make_family(2, n_features=7, seed=2)
    with little_work():
        return unlearned(name).meta_fit(tasks)


MAKERS = {
    "closed form": ProtoNetDetector,
    "untrained mlp": lambda: ProtoNetDetector(embedding="mlp"),
    "any width": lambda: clone(_meta_fitted("support")),
    "meta-fitted": lambda: clone(_meta_fitted("mix")),
    "meta-fitted mlp": lambda: clone(_meta_fitted("mlp")),
    "maml closed form": MAMLDetector,
    **{name: lambda name=name: clone(_meta_fitted(name)) for name in (*MAML, *PROCESSES)},
    "process closed form": lambda: NeuralProcessDetector(max_epochs=0),
    "in context": InContextDetector,
    "meta-fitted in context": lambda: clone(_meta_fitted("in context")),
    "self-taught process": lambda: brief_process("tnp"),
}
# One function of the base class validates rows and labels: one configuration of each class suffices
EACH_CLASS = ("meta-fitted", "maml closed form", "process closed form", "in context")
META_OF_EACH_CLASS = (
    "meta-fitted",
    "residual maml",
    "meta-fitted tnp",
    "meta-fitted in context",
)
META_FITTED = (
    "any width",
    "meta-fitted in context",
    "meta-fitted",
    "meta-fitted mlp",
    *MAML,
    *PROCESSES,
)
ONE_WIDTH = tuple(
    name for name in META_FITTED if name not in ("any width", "meta-fitted in context")
)
BARELY = {"max_epochs": 1, "episodes_per_epoch": 8}  # what is taught does not matter
NETWORKS = (*MAML, *PROCESSES, "self-taught process")
# Farther is always more anomalous
GEOMETRIC = tuple(name for name in MAKERS if name not in NETWORKS)
# For tests whose rows are far from all tasks, and steps may lead away from them: detectors
# say so
far_off = pytest.mark.filterwarnings(
    "ignore:The normal rows of this task differ:sklearn_fsad.exceptions.FarTaskWarning",
    "ignore:Adaptation made the loss:sklearn_fsad.exceptions.AdaptationWarning",
)
ANY_WIDTH = (  # what a new width does not disturb
    "closed form",
    "untrained mlp",
    "any width",
    "maml closed form",
    "process closed form",
    "in context",
)


@cache
def _fitted(name):
    X, y = new_task()[:2]
    with little_work():
        return make_detector(name).fit(X, y)


class Fitted:
    """Detectors by their names in ``MAKERS``, fitted once on ``new_task()``: a copy for each test.

    A copy shares its state with the others, and rebuilds its module when it is first used.
    """

    def __getitem__(self, name):
        return copy.deepcopy(_fitted(name))


def assert_same_support(fitted, expected):
    """The validated support is the same to the bit, and so is all that follows from it."""
    for name, dtype in (("support_X_", np.float64), ("support_y_", np.int8)):
        found, wanted = getattr(fitted, name), getattr(expected, name)
        assert found.dtype == wanted.dtype == dtype
        assert found.shape == wanted.shape
        assert found.flags.c_contiguous
        assert found.tobytes() == wanted.tobytes()


def dispatched(on):
    """scikit-learn with the array API on or off; skips where it needs a package that is missing."""
    try:
        with config_context(array_api_dispatch=on):
            pass
    except ImportError as error:
        pytest.skip(str(error))
    return config_context(array_api_dispatch=on)


def methods_of(detector, *names):
    """Those methods that a detector has."""
    return [name for name in names if hasattr(detector, name)]


def assert_usable(detector, X):
    """Scores are finite, and one row alone scores as in its batch."""
    scores = detector.score_samples(X)
    assert scores.shape == (len(X),)
    assert np.isfinite(scores).all()
    assert np.isfinite(detector.offset_)
    assert detector.score_samples(X[-1:])[0] == scores[-1]
    assert set(detector.predict(X)) <= {1, -1}
    for method in methods_of(detector, "transform", "feature_errors"):
        assert np.isfinite(getattr(detector, method)(X)).all()
    return scores


def self_taught(learner):
    """A network that learns from the support alone, on episodes made out of it."""
    return MAMLDetector(learner=learner, residual=False, hidden=(16,), random_state=0)


def make_detector(name):
    """An unfitted detector by its name in ``MAKERS``."""
    return MAKERS[name]()


def brief_process(kind):
    """A neural process that hardly learns, from the support alone."""
    return NeuralProcessDetector(kind=kind, **{**BRIEF, "max_epochs": 1, "episodes_per_epoch": 8})


def scores_after_fit(detector, X, y, query):
    with threadpool_limits(1):
        return clone(detector).fit(X, y).decision_function(query)


def scores_of(detectors, query):
    """What fitted detectors say, for a process that has nothing but their pickles."""
    return {name: detector.decision_function(query) for name, detector in detectors.items()}

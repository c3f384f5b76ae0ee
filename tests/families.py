"""Small families of tasks, and detectors meta-fitted on them, shared by the test modules."""

from contextlib import ExitStack
from functools import cache
from unittest.mock import patch

import numpy as np
from sklearn.base import clone

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad.datasets._made import related_task

N_FEATURES = 5
SHOTS = {"n_normal": (4, 16), "n_anomalous": (0, 5), "n_query": 30}
QUICK = {**SHOTS, "episodes_per_epoch": 24, "max_epochs": 12, "random_state": 0}


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
    "meta-fitted tnp": {"kind": "tnp", "gate": False},
    "meta-fitted np": {"kind": "np", "gate": False, "n_latent_samples": 4},
}


def unlearned(name):
    """A detector of ``META_FITTED`` before its meta_fit."""
    if name == "support":
        return ProtoNetDetector(evidence="support", **QUICK)
    if name == "in context":
        settings = {**QUICK, "max_epochs": 2, "episodes_per_epoch": 16}
        return InContextDetector(**settings, pretrained=None)
    if name in MAML:
        return MAMLDetector(**{**QUICK, **MAML[name]})
    if name in PROCESSES:
        return NeuralProcessDetector(**{**SHOTS, **BRIEF, **PROCESSES[name]})
    extra = {"embedding": "mlp", "hidden": (16,), "embedding_dim": 8} if name == "mlp" else {}
    return ProtoNetDetector(**{**QUICK, **extra})


FEW_TREES = {  # forests as small as tests of a contract need
    "sklearn_fsad._evidence.table_anomalies._N_TREES": 6,
    "sklearn_fsad._evidence.table_anomalies._N_TREES_OF_PART": 3,
}
FEW_LESSONS = {  # what methods learn beside the epochs of their network
    "sklearn_fsad._detectors.maml.learning._MIX_EPOCHS": 8,
    "sklearn_fsad._detectors.maml.learning._SELF_TAUGHT_EPISODES": 8,
    "sklearn_fsad._detectors.maml.learning._SELF_TAUGHT_EPOCHS": 2,
    "sklearn_fsad._detectors.neural_process.knowledge._EPISODES_A_TASK": 2,
}


@cache
def _meta_fitted(name):
    tasks = make_family()
    if name in ("support", "in context"):
        tasks = [*make_family(4), *make_family(2, n_features=3, seed=1)]
    if name == "support":
        tasks += make_family(2, n_features=7, seed=2)
    with ExitStack() as small:  # whichever test asks first
        for part, size in {**FEW_TREES, **FEW_LESSONS}.items():
            small.enter_context(patch(part, size))
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
MAY_MISS = (*PROCESSES, "process closed form", "self-taught process")  # entries may be NaN
NETWORKS = (*MAML, *PROCESSES, "self-taught process")
GEOMETRIC = tuple(name for name in MAKERS if name not in NETWORKS)  # farther is always stranger
ANY_WIDTH = (  # what a new width does not disturb
    "closed form",
    "untrained mlp",
    "any width",
    "maml closed form",
    "process closed form",
    "in context",
)


def methods_of(detector, *names):
    """Those methods that a detector has."""
    return [name for name in names if hasattr(detector, name)]


def self_taught(learner):
    """A network that learns from the support alone, on episodes made out of it."""
    return MAMLDetector(learner=learner, residual=False, hidden=(16,), random_state=0)


def make_detector(name):
    """An unfitted detector by its name in ``MAKERS``."""
    return MAKERS[name]()


def brief_process(kind):
    """A neural process that hardly learns, from the support alone."""
    return NeuralProcessDetector(kind=kind, **{**BRIEF, "max_epochs": 1, "episodes_per_epoch": 8})

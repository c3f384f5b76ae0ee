"""States that each version saved, and how detectors are fitted with them."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad.evidence import RegressorEvidence
from sklearn_fsad.exceptions import FarTaskWarning

GOLDEN = Path(__file__).parent / "golden"
SHIPPED = ("tabular-v1", "tabular-v2")  # states that come with the package


def _mlp(**given):
    return ProtoNetDetector(embedding="mlp", embedding_dim=8, hidden=(16,), **given)


def _own_model(**given):
    return ProtoNetDetector(evidence=["support", RegressorEvidence(Ridge())], **given)


def _without_label_evidence(**given):
    return NeuralProcessDetector(label_evidence=False, **given)


DETECTORS = {  # by version and name: with the parameters that their scores have needed since
    "0.1.0": {
        "mix": ProtoNetDetector,
        "mlp": _mlp,
        "maml": MAMLDetector,
        "neural_process": _without_label_evidence,
        "in_context": InContextDetector,
        "tabular-v1": InContextDetector,
    },
    "0.2.0": {
        "mix": ProtoNetDetector,
        "mlp": _mlp,
        "own_model": _own_model,
        "maml": MAMLDetector,
        "neural_process": NeuralProcessDetector,
        "in_context": InContextDetector,
        "tabular-v2": InContextDetector,
    },
}
KINDS = {"0.1.0": ("normals", "labelled"), "0.2.0": ("normals", "labelled", "gaps")}
CASES = [
    (version, name, kind)
    for version, detectors in DETECTORS.items()
    for name in detectors
    for kind in KINDS[version]
]
N_NORMAL = 12


@cache
def stored(version):
    """Return the rows and the scores that a version wrote."""
    with np.load(GOLDEN / version / "scores.npz") as arrays:
        return dict(arrays)


def rows(arrays, kind):
    """Return the support, its labels and the query of a kind."""
    X, y, query = arrays["support_X"], arrays["support_y"], arrays["query_X"]
    if kind == "normals":
        return X[:N_NORMAL], y[:N_NORMAL], query
    if kind == "gaps":
        return np.where(holes(X), np.nan, X), y, np.where(holes(query), np.nan, query)
    return X, y, query


def holes(X):
    """Mark the entries to leave out: one in seven."""
    return np.arange(X.size).reshape(X.shape) % 7 == 3


def fitted(version, name, kind):
    """Return a detector with a state of a version, fitted to the support of a kind."""
    path = name if name in SHIPPED else GOLDEN / version / f"{name}.safetensors"
    X, y, _ = rows(stored(version), kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FarTaskWarning)
        return DETECTORS[version][name](pretrained=path).fit(X, y)

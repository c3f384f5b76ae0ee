"""Name what detectors learn on a device and on the CPU, and learn it."""

from __future__ import annotations

import json
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import sklearn_fsad
from sklearn_fsad import TaskSet
from sklearn_fsad.datasets import make_related_tasks

N_TASKS, N_FEATURES, N_QUERIES = 8, 6, 1000
SHOTS = {"n_normal": (5, 20), "n_anomalous": (0, 5), "n_query": 30, "random_state": 0}
SHORT = {**SHOTS, "max_epochs": 2, "episodes_per_epoch": 32}


class Rows(NamedTuple):
    """Hold tasks to meta-fit on, a support with its labels, and rows to score."""

    tasks: list[tuple[NDArray[np.float64], NDArray[np.int64]]]
    X: NDArray[np.float64]
    y: NDArray[np.int64]
    query: NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Name a detector by its class and parameters, and whether it is meta-fitted."""

    name: str
    parameters: dict[str, Any]
    meta: bool

    def make(self, **more: Any) -> Any:
        """Make the detector."""
        return getattr(sklearn_fsad, self.name)(**self.parameters, **more)


@dataclass
class Learned:
    """Hold a fitted detector and what is compared of it.

    Attributes
    ----------
    case : Case
    detector : object
    scores : ndarray of shape (n_queries,)
    seconds : dict of str to float
    """

    case: Case
    detector: Any
    scores: NDArray[np.float64]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Return the numbers of the state and of the adaptation, by name."""
        adaptation = self.detector._adaptation
        found = {f"state {name}": value for name, value in adaptation.state.arrays.items()}
        found |= {f"adapted {name}": value for name, value in adaptation.values.items()}
        return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}

    @property
    def decisions(self) -> list[Any]:
        """Return what held-out tasks decided, and the number of epochs that were trained."""
        info = self.detector._adaptation.state.info
        reports = [(r["choice"], r["regime"], r["used"]) for r in info.get("held_out", [])]
        return [*reports, len(info.get("history", []))]

    def keep(self, folder: Path, case: str) -> None:
        """Write the detector, its class and parameters, and the state if it was meta-fitted."""
        path = folder / str(len(list(folder.glob("*.json"))))
        about = {"name": case, "class": self.case.name, "parameters": self.case.parameters}
        with path.with_suffix(".pickle").open("wb") as file:
            pickle.dump(self.detector, file)
        if self.case.meta:
            self.detector.pretrained.save(path.with_suffix(".safetensors"))
        path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")


def learn(case: Case, device: str, rows: Rows) -> Learned:
    """Meta-fit, if the case says so, fit and score on a device."""
    detector, seconds = case.make(device=device), {}

    def timed(part: str, function: Callable[..., Any], *given: Any) -> Any:
        start = time.perf_counter()
        found = function(*given)
        seconds[part] = time.perf_counter() - start
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of networks that were not better than a closed form
        if case.meta:
            timed("meta_fit", detector.meta_fit, rows.tasks)
        timed("fit", detector.fit, rows.X, rows.y)
        scores = timed("score", detector.score_samples, rows.query)
    return Learned(case, detector, scores, seconds)


def make_rows() -> Rows:
    """Draw a small family of tasks, and a support and queries of another task of it."""
    sizes = {"n_features": N_FEATURES, "n_normal": 40, "n_anomalous": 12}
    tasks = make_related_tasks(N_TASKS, **sizes, random_state=0)
    new = make_related_tasks(1, n_features=N_FEATURES, n_normal=30 + N_QUERIES, random_state=1)[0]
    normal, anomalous = np.flatnonzero(new.y == 0), np.flatnonzero(new.y == 1)
    support = np.concatenate([normal[:30], anomalous[:4]])
    return Rows(_pairs(tasks), new.X[support], new.y[support], new.X[normal[30:]])


def _pairs(tasks: TaskSet) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    return [(np.array(task.X), np.array(task.y)) for task in tasks]


def _process(kind: str, meta: bool, **more: Any) -> Case:
    """Name a neural process of a kind, whose network is used whatever held-out tasks say."""
    parameters = {**SHORT, "kind": kind, "embedding_dim": 16, "n_masks": 2, "gate": False, **more}
    return Case("NeuralProcessDetector", parameters, meta)


_KINDS = ("tnp", "anp", "cnp", "np", "convcnp")
_OWN_NETWORK = {"residual": False, "gate": False, "augment": False}
CASES = {
    "ProtoNet, mix": Case("ProtoNetDetector", {**SHOTS, "episodes_per_epoch": 32}, True),
    "ProtoNet, mlp": Case("ProtoNetDetector", {**SHORT, "embedding": "mlp"}, True),
    "MAML": Case("MAMLDetector", {**SHORT, "gate": False, "augment": False}, True),
    "MAML, gate": Case("MAMLDetector", SHORT, True),
    "Reptile": Case("MAMLDetector", {**SHORT, **_OWN_NETWORK, "algorithm": "reptile"}, True),
    "InContext": Case("InContextDetector", SHORT, True),
    **{f"NeuralProcess, {kind}": _process(kind, meta=True) for kind in _KINDS},
    "ProtoNet, fit alone": Case("ProtoNetDetector", SHOTS, False),
    "MAML, fit alone": Case("MAMLDetector", {**SHOTS, "residual": False}, False),
    "InContext, fit alone": Case("InContextDetector", SHOTS, False),
    **{f"NeuralProcess, {kind}, fit alone": _process(kind, meta=False) for kind in _KINDS},
}
CASES["NeuralProcess, tnp, 256 wide, fit alone"] = _process(
    "tnp", meta=False, embedding_dim=256, batch_size=64, episodes_per_epoch=128
)
TF32 = ("MAML", "NeuralProcess, convcnp, fit alone")  # products, and convolutions

"""Make detectors named on the command line, meta-fit them and score as baselines do."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench.methods.base import Baseline
from bench.protocols.families import Task

SPEC = re.compile(
    r"^(?:(?P<label>[\w.+-]+)=)?(?P<module>[\w.]+):(?P<name>\w+)(?:\((?P<args>.*)\))?$", re.S
)


@dataclass(frozen=True)
class Spec:
    """A detector to make: the label of its rows, its module, its class and its parameters."""

    label: str
    module: str
    name: str
    params: dict[str, Any]

    def make(self) -> Any:
        """Return a fresh instance."""
        return getattr(importlib.import_module(self.module), self.name)(**self.params)


def parse_spec(text: str) -> Spec:
    """Parse ``module:Class``, ``module:Class(param=value, ...)`` or ``label=module:Class(...)``.

    Values are Python literals.

    Examples
    --------
    >>> parse_spec("plain=sklearn.svm:OneClassSVM(nu=0.2)")
    Spec(label='plain', module='sklearn.svm', name='OneClassSVM', params={'nu': 0.2})
    """
    match = SPEC.match(text.strip())
    if match is None:
        raise ValueError(
            f"A detector is written module:Class or module:Class(param=value); got {text!r}."
        )
    call = ast.parse(f"f({match['args'] or ''})", mode="eval").body
    if (
        not isinstance(call, ast.Call)
        or call.args
        or any(word.arg is None for word in call.keywords)
    ):
        raise ValueError(f"Parameters are written name=value; got {text!r}.")
    params = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    shown = ", ".join(f"{name}={value!r}" for name, value in params.items())
    label = match["label"] or (f"{match['name']}({shown})" if shown else match["name"])
    return Spec(label, match["module"], match["name"], params)


def meta_training_tasks(tasks: Sequence[Task], split: str) -> Any:
    """Give ``meta_fit`` its tasks: pairs (X, y), or a TaskSet where whole groups are held out."""
    pairs = [(task.X, task.y) for task in tasks]
    if split != "groups":
        return pairs
    from sklearn_fsad import TaskSet

    names, groups = [task.name for task in tasks], [task.group for task in tasks]
    return TaskSet(pairs, names=names, groups=groups)


class Adapted(Baseline):
    """A detector, meta-fitted or not, that adapts to each support."""

    uses_labels = True

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def fit(self, X: np.ndarray, y: np.ndarray) -> Adapted:
        """Adapt to a support."""
        self.detector.fit(X, y)
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the negative of its decisions."""
        return -self.detector.decision_function(X)


class Specified(Baseline):
    """A detector of the command line; it does its own scaling.

    Parameters
    ----------
    spec : Spec
    random_state : int
    trained : dict or None, default=None
        States of the detectors fitted so far. One that differs from a former one only in its
        ``anomaly_score`` takes over what that has learned from the same rows: it would learn the
        same. It then has no threshold of its own.
    """

    def __init__(self, spec: Spec, random_state: int, trained: dict[Any, Any] | None = None):
        self.spec, self.random_state, self.trained = spec, random_state, trained
        self.is_taken_over = False

    def fit(self, X: np.ndarray, y: np.ndarray) -> Specified:
        """Learn from the normals."""
        normals = X[y == 0]
        detector = self.spec.make()
        params = detector.get_params(deep=False)
        if params.get("random_state", 0) is None:
            detector.set_params(random_state=self.random_state)
        others = {k: v for k, v in self.spec.params.items() if k != "anomaly_score"}
        key = (self.spec.module, self.spec.name, repr(sorted(others.items())), normals.tobytes())
        shares = self.trained is not None and "anomaly_score" in params
        self.is_taken_over = shares and key in self.trained
        if self.is_taken_over:
            detector.set_params(pretrained=self.trained[key], contamination=0.1)
        self.detector_ = detector.fit(normals)
        if shares:
            self.trained[key] = self.detector_.state_
        return self

    def anomaly_score(self, X: np.ndarray) -> np.ndarray:
        """Return the negative of its scores."""
        return -self.detector_.score_samples(X)

    def alarms(self, X: np.ndarray) -> np.ndarray | None:
        """Return which rows it calls anomalies, if by a threshold of its own."""
        return None if self.is_taken_over else self.detector_.predict(X) == -1

    def feature_scores(self, X: np.ndarray) -> np.ndarray | None:
        """Return how much each feature adds, where it tells that."""
        tell = getattr(self.detector_, "feature_scores", None)
        return None if tell is None else tell(X)


def specified(specs: Sequence[Spec], share: bool = False) -> dict[str, Callable[[int], Specified]]:
    """Name detectors of the command line; those that learn the same may share it."""
    trained: dict[Any, Any] | None = {} if share else None
    return {spec.label: lambda seed, spec=spec: Specified(spec, seed, trained) for spec in specs}

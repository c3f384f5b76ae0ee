"""Detectors named on the command line, and how one is meta-fitted on the tasks of a fold."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from _protocol import Task

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
    """Read ``module:Class``, ``module:Class(param=value, ...)`` or ``label=module:Class(...)``.

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
    """Return what ``meta_fit`` gets: a list of (X, y), or a TaskSet that knows the groups.

    Groups are only handed over where whole groups are held out, and where ``sklearn_fsad`` is
    installed.
    """
    pairs = [(task.X, task.y) for task in tasks]
    if split != "groups":
        return pairs
    try:
        from sklearn_fsad.tasks import TaskSet
    except ImportError:
        return pairs
    return TaskSet(
        pairs, names=[task.name for task in tasks], groups=[task.group for task in tasks]
    )

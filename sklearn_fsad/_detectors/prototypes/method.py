"""Make the states that both kinds of prototypes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._state import MetaState
from ..._stats.scaling import ScaledSupport, ScalePrior
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet
from ..base.detector import BaseFewShotDetector


@dataclass(frozen=True)
class Method:
    """Learn, store and apply one kind of prototypes by the parameters of a detector.

    Attributes
    ----------
    detector : ProtoNetDetector
        The detector whose parameters are used.
    """

    detector: BaseFewShotDetector

    def _scaled(self, X: Array, y: Codes, state: MetaState) -> ScaledSupport:
        """Scale a support by the scaler of a state, or by that of the user: (n, d), (n,)."""
        d = self.detector
        scaler = state.architecture["scaler"] if d._scaler_follows else d.scaler
        return ScaledSupport(X, y, scaler, ScalePrior.from_arrays(state.arrays))

    def _learned(
        self,
        tasks: TaskSet,
        prior: ScalePrior | None,
        architecture: dict[str, Any],
        arrays: dict[str, Array],
        info: dict[str, Any],
    ) -> MetaState:
        """Make the state of a meta-training; without a ``prior`` it is for tables of any width."""
        d = self.detector
        shots = {"n_normal": list(d.n_normal), "n_anomalous": list(d.n_anomalous)}
        return MetaState(
            type(d).__name__,
            {"embedding": d.embedding, "embedding_dim": d.embedding_dim, **architecture},
            {**arrays, **({} if prior is None else prior.to_arrays())},
            None if prior is None else tasks.one_feature_space(),
            None if prior is None else tasks.feature_names_in,
            {**info, "n_tasks": tasks.n_tasks, **shots},
        )

    def _without_tasks(
        self, n_features: int, architecture: dict[str, Any], arrays: dict[str, Array]
    ) -> MetaState:
        """Make the state of a detector that was never meta-fitted."""
        d = self.detector
        known = {"embedding": d.embedding, "embedding_dim": None, **architecture}
        if not d._scaler_follows:
            known["scaler"] = d._architecture_value("scaler")
        info = {"n_tasks": 0, "n_normal": d.n_normal, "n_anomalous": d.n_anomalous}
        return MetaState(type(d).__name__, known, arrays, n_features, info=info)

"""Detect anomalies by evidence, weighed by a network that was trained on synthetic tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import StrOptions

from ..._input.labels import ANOMALOUS
from ..._state import MetaState, resolve_state
from ..._typing import Array, Codes, Mask
from ...tasks._task_set import TaskSet
from ..base.adaptation import Adaptation
from ..base.checks import CATEGORICAL_FEATURES
from ..base.detector import BaseFewShotDetector
from ..base.documentation import with_shared_parameters
from ..base.support_set import SupportSet
from .cleaning import near_normals
from .closed_form import default_arrays, kinds_of
from .module import ContextMix, module_of
from .representation import TableRepresentation
from .training import fine_tune

_SHIPPED = "tabular-v2"
_STARTS = (None, "tabular-v1", _SHIPPED)
_MOST_ALONE, _MOST_BESIDE_ANOMALIES = 3000, 1000  # normal rows to compare with
_CLOSED_FORM = default_arrays()


@with_shared_parameters
class InContextDetector(BaseFewShotDetector):
    """Pretrained detector for tables of any width; needs no past tasks.

    A row is described by scores, called evidence, that do not depend on units or on the number of
    columns: distances to neighbours in several coordinate systems, local densities, principal
    components, tails, and, with labelled anomalies, discriminants between these and the normals. A
    small network, a conditional neural process [1]_, predicts from the training rows how much each
    of them counts. Its weights come with the package and were trained on synthetic tables. ``fit``
    trains only small trees and a kernel machine.

    ``meta_fit`` fine-tunes the network on your own tasks, of any widths. The new weights are used
    only if they are better on held-out tasks. Tasks with the same columns also share what is pooled
    over them: how normals vary, and the directions in which anomalies deviate. Each call starts
    again from the weights that come with the package.

    Rows marked as unlabelled (NaN) may be anomalies: the fifth of them that is farthest from the
    others is not used for comparison, fewer the more anomalies are labelled. Without ``y`` all rows
    count as normal.

    A table with more than 100 columns whose values rarely repeat is treated as an embedding:
    evidence from single columns is then not used.

    Parameters
    ----------
    max_context : "auto" or int, default="auto"
        Largest number of normal rows that rows are compared with; "auto" is 3000 without labelled
        anomalies and 1000 with some. If ``fit`` is given more, a random sample is used, the same
        for any order of rows and columns, with a warning. Scoring takes longer in proportion to
        this number, and ``fit`` with its square. Up to 10,000 of the other normal rows still set
        the threshold. All labelled anomalies are kept, up to 5000.
    {n_normal}
    {n_query}
    {support_contamination}
    max_epochs : int, default=30
        Largest number of epochs of fine-tuning; 0 keeps the weights as they are.
    episodes_per_epoch : int, default=None
        Number of episodes in an epoch; None means 24 per task, at most 480.
    batch_size : int, default=32
        Episodes per training step.
    lr : float, default=None
        Highest learning rate; None means 0.002.
    {threshold}
    {alpha}
    {contamination}
    {outlier_label}
    {categorical_features}
    clean_support : bool or "all", default=False
        Whether to treat the normal training rows as if they were unlabelled, and leave out those
        farthest from the others; see ``support_kept_``. "all" also leaves out labelled anomalies
        that look normal.
    pretrained : MetaState, str or path, default="tabular-v2"
        The weights that come with the package, or those that ``meta_fit`` set; "tabular-v1" are
        those of version 0.1.0, and None means the fixed default weights that the network corrects.
    {device}
    {net_params}
    {callbacks}
    {verbose}
    {random_state}

    Attributes
    ----------
    {offset_}
    {state_}
    {support_X_}
    {support_y_}
    {support_kept_}
    {n_features_in_}
    {feature_names_in_}

    References
    ----------
    .. [1] M. Garnelo et al., "Conditional neural processes", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import InContextDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> InContextDetector().fit(X).predict([[0.1, 0.0, -0.2], [6.0, -6.0, 6.0]])
    array([ 1, -1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{
            name: constraint
            for name, constraint in BaseFewShotDetector._parameter_constraints.items()
            if name != "scaler"
        },
        "max_context": [
            StrOptions({"auto"}),
            *BaseFewShotDetector._parameter_constraints["max_context"],
        ],
        "categorical_features": CATEGORICAL_FEATURES,
    }

    def __init__(
        self,
        *,
        max_context: int | str = "auto",
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 60,
        support_contamination: float = 0.0,
        max_epochs: int = 30,
        episodes_per_epoch: int | None = None,
        batch_size: int = 32,
        lr: float | None = None,
        threshold: Any = "auto",
        alpha: float = 0.05,
        contamination: Any = "auto",
        outlier_label: Any = "auto",
        categorical_features: Any = "from_dtype",
        clean_support: bool | str = False,
        pretrained: Any = _SHIPPED,
        device: str = "cpu",
        net_params: dict[str, Any] | None = None,
        callbacks: list[Any] | None = None,
        verbose: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.categorical_features = categorical_features
        super().__init__(
            n_normal=n_normal,
            n_anomalous=n_anomalous,
            n_query=n_query,
            support_contamination=support_contamination,
            max_epochs=max_epochs,
            episodes_per_epoch=episodes_per_epoch,
            batch_size=batch_size,
            lr=lr,
            threshold=threshold,
            alpha=alpha,
            contamination=contamination,
            outlier_label=outlier_label,
            clean_support=clean_support,
            max_context=max_context,
            pretrained=pretrained,
            device=device,
            net_params=net_params,
            callbacks=callbacks,
            verbose=verbose,
            random_state=random_state,
        )

    # --- hooks of the base class ------------------------------------------------------------------
    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        arrays, info = self._start()
        info |= {"n_tasks": tasks.n_tasks}
        sampler = self._sampler(tasks, seed)
        sampler.warn_if_empty("the weights are unchanged")
        if not sampler.drawable:
            return MetaState(type(self).__name__, {}, arrays, None, info=info)
        tuned = fine_tune(
            arrays,
            tasks,
            sampler,
            self.episodes_per_epoch or min(24 * len(sampler.drawable), 480),
            self._net_settings(lr=2e-3, seed=seed),
        )
        info |= {
            "evidence": [e.name for e in kinds_of(tuned.arrays)],
            "held_out": [report.to_info() for report in tuned.reports],
            "history": tuned.history,
        }
        return MetaState(type(self).__name__, {}, tuned.arrays, None, info=info)

    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        return MetaState(type(self).__name__, {}, _CLOSED_FORM, None, info={"n_tasks": 0})

    def _start(self) -> tuple[Mapping[str, Array], dict[str, Any]]:
        """Return arrays to fine-tune and their origin; after ``meta_fit`` those it began with."""
        state, name = resolve_state(self.pretrained), self.pretrained
        if state is not None and "start" in state.info:
            name = state.info["start"]
            state = resolve_state(name)
        known = {"start": name} if name in _STARTS else {}
        return (_CLOSED_FORM if state is None else state.arrays), known

    def _check_state(self, state: MetaState) -> None:
        super()._check_state(state)
        known = [e.name for e in kinds_of(state.arrays)]
        learned = state.info.get("evidence", known)
        if learned != known:
            raise ValueError(
                f"pretrained has weights for {len(learned)} kinds of evidence, this version has "
                f"{len(known)}, not all the same: call meta_fit again."
            )

    def _most_normals(self, codes: Codes) -> int:
        if self.max_context != "auto":
            return super()._most_normals(codes)
        return _MOST_BESIDE_ANOMALIES if (codes == ANOMALOUS).any() else _MOST_ALONE

    def _module(self, state: MetaState) -> ContextMix:
        return module_of(state.arrays)

    def _believed_normals(self, X: Array, codes: Codes, given: MetaState | None) -> Mask:
        """Select all but the rows farthest from the others, as if all were unlabelled: (n,)."""
        normal = np.flatnonzero(codes != ANOMALOUS)
        normal = normal[np.lexsort(X[normal].T[::-1])]
        kept = near_normals(X[normal], len(X) - len(normal), self._categories.positions)
        return np.isin(np.arange(len(X)), normal[kept])

    def _represent(self, support: SupportSet, state: MetaState) -> TableRepresentation:
        doubtful = None if self.clean_support else support.unlabelled  # else they are left out
        return TableRepresentation(support.X, support.y, state.arrays, doubtful, support.weights)

    def _left_out_scores(self, adaptation: Adaptation) -> Array:
        """Score rows of the context from the others, and doubtful ones as fresh ones."""
        described, X = adaptation.representation, adaptation.support.X
        scores = np.empty(len(X))
        fresh = np.setdiff1d(np.arange(len(X)), described.rows)
        if len(fresh):
            scores[fresh] = adaptation.score_fresh(X[fresh])
        own = adaptation.score_represented(described.support)
        scores[described.rows] = own + adaptation.support_entry_scores()[described.rows]
        return scores

    def _reference_normals(self) -> Array:
        """Return the normals of the context, without doubtful rows: (n, d)."""
        support, rows = self._adaptation.support, self._adaptation.representation.rows
        return support.X[rows[support.y[rows] != ANOMALOUS]]

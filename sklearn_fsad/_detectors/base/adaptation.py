"""What a detector learns from a support, and how it judges rows by it."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..._input.labels import ANOMALOUS, NORMAL
from ..._state import MetaState, resolve_state
from ..._typing import Array, Codes, Mask
from ...thresholds import resolve_threshold
from .blocks import in_blocks
from .checks import weights_to_blame
from .cleaning import believed_normals, without_doubtful_anomalies
from .support_lookup import OwnRows


class FittedSupport(BaseEstimator, metaclass=ABCMeta):
    """Adaptation of a detector to a support, and the scores of rows, left out where they are in it.

    A method provides the state it has without any meta-training (:meth:`_untrained_state`), the
    module of a state (:meth:`_module`) and how a support describes rows to it (:meth:`_represent`).
    """

    support_X_: Array
    support_y_: Codes
    clean_support: bool | str
    contamination: Any
    threshold: Any
    alpha: float
    pretrained: Any

    # --- what a method provides -------------------------------------------------------------------
    @abstractmethod
    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        """The state of a detector that was never meta-fitted."""

    @abstractmethod
    def _module(self, state: MetaState) -> Any:
        """The torch module of a state: float64, in evaluation mode."""

    @abstractmethod
    def _represent(self, X: Array, y: Codes, state: MetaState) -> Representation:
        """Describe a support and other rows in terms of it."""

    @abstractmethod
    def _check_state(self, state: MetaState) -> None:
        """Refuse a state that this estimator, or the data just validated, does not fit."""

    # --- fitting ----------------------------------------------------------------------------------
    def _fit_support(self, X: Array, codes: Codes) -> None:
        self.support_X_, self.support_y_ = X.copy(), codes
        n_normal = int((codes != ANOMALOUS).sum())
        if n_normal < 2:
            raise ValueError(
                f"Found {n_normal} sample(s) that are not labelled as anomalies (1 sample is too "
                f"few): {type(self).__name__} needs at least 2 normal or unlabelled rows."
            )
        given = resolve_state(self.pretrained)
        if given is not None:
            self._check_state(given)
        kept = np.ones(len(codes), dtype=bool)
        if self.clean_support:
            kept = self._believed_normals(X, codes, given) | (codes == ANOMALOUS)
        if self.clean_support == "all":
            kept = without_doubtful_anomalies(self._scores_of(given), codes, kept)
        self._learn_from(kept, given)
        self.offset_ = -self._support_cut()

    def _learn_from(self, kept: Mask, given: MetaState | None) -> None:
        """Adapt a given state, or that of a detector without one, to some rows of the support."""
        self.support_kept_ = kept
        X, y = self._ordered_support()
        self.state_ = self._untrained_state(X, y) if given is None else given
        with weights_to_blame(self.pretrained):
            self._adapted = replace(self._adapt(X, y, self.state_), own_rows=OwnRows.of(X, y))
        self._left_out: Array | None = None

    def _believed_normals(self, X: Array, codes: Codes, given: MetaState | None) -> Mask:
        """The normals of the support that ``clean_support`` leaves."""
        return believed_normals(self._scores_of(given), codes)

    def _scores_of(self, given: MetaState | None) -> Callable[[Mask], Array]:
        """``kept -> scores`` of each row of the support from the others among those kept."""

        def scores_from(kept: Mask) -> Array:
            self._learn_from(kept, given)
            scores = self._in_blocks(self._ready_model().score, self.support_X_)
            scores[self._support_order()] = self._left_out_of_support()
            return scores

        return scores_from

    def _ordered_support(self) -> tuple[Array, Codes]:
        """The support in an order of its own: sums round alike however the rows were ordered.

        Without the rows that ``clean_support`` doubts.
        """
        y = np.where(self.support_y_ == ANOMALOUS, ANOMALOUS, NORMAL).astype(np.int8)
        order = self._support_order()
        return self.support_X_[order], y[order]

    def _support_order(self) -> NDArray[np.intp]:
        order = np.lexsort([self.support_y_ == ANOMALOUS, *self.support_X_.T[::-1]])
        return order[self.support_kept_[order]]

    def _adapt(self, X: Array, y: Codes, state: MetaState, module: Any = None) -> Adapted:
        """Adapt the module of a state, which one that was made from it before may stand for."""
        import torch

        from ..._training.layers import aligned

        module = self._module(state) if module is None else module
        representation = self._represent(X, y, state)
        with torch.no_grad():
            values = module.adapt(
                aligned(representation.support), aligned(representation.support_y)
            )
        arrays = {name: value.numpy() for name, value in values.items()}
        return Adapted(representation, arrays, self.get_params(deep=False), module)

    def _support_cut(self) -> float:
        if self.contamination != "auto":  # of all rows given
            scores = self._strangeness(self.support_X_)
            return float(np.percentile(scores, 100.0 * (1.0 - self.contamination)))
        _, y = self._ordered_support()
        scores = self._left_out_of_support()
        threshold = resolve_threshold(self.threshold, self.alpha)
        return float(threshold(scores[y == NORMAL], scores[y == ANOMALOUS]))

    def _left_out_of_support(self) -> Array:
        """Score of each row of the ordered support from the others, found once."""
        if self._left_out is None:
            self._ready_model()
            fitted = self._as_fitted()  # whatever was set since
            fitted.__dict__.update({n: v for n, v in vars(self).items() if is_fitted(n)})
            self._left_out = fitted._left_out_scores(*self._ordered_support())
        return self._left_out

    def _left_out_by_label(self) -> tuple[Array, Array]:
        _, y = self._ordered_support()
        scores = self._left_out_of_support()
        return scores[y == NORMAL], scores[y == ANOMALOUS]

    def _left_out_scores(self, X: Array, y: Codes) -> Array:
        """Score of each support row from the others."""
        fold, module = left_out_folds(X, y), self._adapted.module
        scores = np.empty(len(X))
        for out in (fold == i for i in range(fold.max() + 1)):
            if out.any():
                rest = ~out if (y[~out] == NORMAL).any() else np.ones(len(X), dtype=bool)
                scores[out] = self._adapt(X[rest], y[rest], self.state_, module).score(X[out])
        return scores

    def _strangeness(self, rows: Array) -> Array:
        """Scores of rows, those of the support from the others of it: (m, d) -> (m,)."""
        model = self._ready_model()

        def score(block: Array) -> Array:
            own, scores = model.own_rows.find(block), model.score(block)
            if (own >= 0).any():
                scores[own >= 0] = self._left_out_of_support()[own[own >= 0]]
            return scores

        return self._in_blocks(score, rows)

    def _reference_normals(self) -> Array:
        X, y = self._ordered_support()
        return X[y == NORMAL]

    def _in_blocks(self, function: Callable[[Array], Array], X: Array) -> Array:
        return in_blocks(function, X, n_support=len(self.support_X_))

    def _ready_model(self) -> Adapted:
        """The adapted module, built again after unpickling, as is what tells its own rows."""
        adapted = self._adapted
        if adapted.module is None:
            module, own = (
                self._as_fitted()._module(self.state_),
                OwnRows.of(*self._ordered_support()),
            )
            self._adapted = adapted = replace(adapted, module=module, own_rows=own)
        return adapted

    def _as_fitted(self) -> Self:
        """A detector with the parameters that ``fit`` saw, whatever was set since."""
        return type(self)(**self._adapted.parameters)


def is_fitted(name: str) -> bool:
    """Whether an attribute comes from ``fit``."""
    return name.endswith("_") or name in ("_adapted", "_left_out")


def left_out_folds(X: Array, y: Codes) -> NDArray[np.intp]:
    """Fold in which each support row is left out: up to 20 folds of one row, else 5 folds."""
    n_folds = len(X) if len(X) <= 20 else 5
    order = np.lexsort(X.T[::-1])  # the folds do not depend on the order of the rows
    fold = np.empty(len(X), dtype=np.intp)
    for label in (NORMAL, ANOMALOUS):
        rows = order[y[order] == label]
        fold[rows] = np.arange(len(rows)) % n_folds
    return fold


class Representation(Protocol):
    """How a support describes rows to a module: scaled features, or evidence."""

    @property
    def support(self) -> Array:
        """The support, described, and rows made from it: (n_support, d_out)."""
        ...

    @property
    def support_y(self) -> NDArray[np.int8]:
        """What its rows are to the module: (n_support,)."""
        ...

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, d_out)."""
        ...


@dataclass(frozen=True)
class Adapted:
    """A module adapted to one support.

    Attributes
    ----------
    representation : Representation
    values : dict of str to ndarray
        What the module's ``adapt`` returned.
    parameters : dict of str to object
        Those that the detector had.
    module : torch.nn.Module or None
        Left out of pickles: the detector builds it again from its state.
    own_rows : OwnRows or None
        Tells normal rows of the support from others; left out of pickles too.
    """

    representation: Any
    values: dict[str, Array]
    parameters: dict[str, Any]
    module: Any = None
    own_rows: Any = None

    def score(self, X: Array) -> Array:
        """Score rows, larger = more anomalous: (m, d) -> (m,)."""
        return self.score_represented(self.representation.transform(X))

    def score_represented(self, Z: Array) -> Array:
        """Score rows that are represented already: (m, d_out) -> (m,)."""
        import torch

        from ..._training.layers import aligned

        with torch.no_grad():
            values = {name: aligned(value) for name, value in self.values.items()}
            return self.module.score(values, aligned(Z)).numpy()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "module": None, "own_rows": None}

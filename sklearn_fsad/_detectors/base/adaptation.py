"""Adapt a method to one support, and hold the result as a value."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import torch

from ..._input.labels import ANOMALOUS, NORMAL, UNLABELLED
from ..._state import MetaState
from ..._stats.moments import without_traces
from ..._training.layers import aligned
from ..._training.seeding import torch_seed
from ..._training.usual_torch import scoring_torch, usual_torch
from ..._typing import Array, Codes, Mask, Positions
from .blocks import block_size, in_blocks, in_plain_blocks
from .far_rows import Range, floor_of_far_rows
from .support_lookup import SupportLookup

_MOST_SINGLE_FOLDS, _FOLDS = 20, 5
_BLOCK_ROWS = 16, 256  # least and most that are scored at once
_BLOCK_NUMBERS = 2**18  # that they may take in one step: two MiB


class Representation(Protocol):
    """Describe rows to a module in terms of a support: as scaled features or as evidence."""

    @property
    def support(self) -> Array:
        """Represented rows of the support, and of rows made from it: (n_support, d_out)."""
        ...

    @property
    def support_y(self) -> Codes:
        """Labels of its rows, as the module reads them: (n_support,)."""
        ...

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, d_out)."""
        ...


class Method(Protocol):
    """Provide the two hooks of a detector that adaptation needs."""

    def _module(self, state: MetaState) -> Any: ...

    def _represent(self, support: SupportSet, state: MetaState) -> Representation: ...


@dataclass(frozen=True)
class SupportSet:
    """Hold the rows to adapt to, sorted, so that their given order does not change rounding.

    Parameters
    ----------
    X : ndarray of shape (n_support, d)
        Rows.
    y : ndarray of shape (n_support,), dtype int8
        0 normal, 1 anomalous; unlabelled rows count as normal.
    unlabelled : ndarray of shape (n_support,), dtype bool
        True for rows without a label.
    order : ndarray of shape (n_support,)
        Their positions among the rows of the context.
    n_given : int
        Number of rows in the context, those left out by ``clean_support`` included.
    """

    X: Array
    y: Codes
    unlabelled: Mask
    order: Positions
    n_given: int

    @classmethod
    def of(cls, X: Array, codes: Codes, kept: Mask) -> Self:
        """Make a support of the kept rows and their labels, sorted: (n, d), (n,), (n,).

        Parameters
        ----------
        X : ndarray of shape (n, d)
            Rows given to ``fit``.
        codes : ndarray of shape (n,), dtype int8
            Their labels: 0 normal, 1 anomalous, -1 unlabelled.
        kept : ndarray of shape (n,), dtype bool
            Rows to keep.

        Returns
        -------
        support : SupportSet
            The kept rows.
        """
        X = without_traces(X)
        order = np.lexsort([codes == ANOMALOUS, *X.T[::-1]])
        order = order[kept[order]]
        y = np.where(codes[order] == ANOMALOUS, ANOMALOUS, NORMAL).astype(np.int8)
        return cls(X[order], y, codes[order] == UNLABELLED, order, len(X))

    def without(self, out: Mask) -> SupportSet:
        """Leave out rows by a mask; none are left out if no normal row would remain.

        Parameters
        ----------
        out : ndarray of shape (n_support,), dtype bool
            Rows to leave out.

        Returns
        -------
        support : SupportSet
            The other rows.
        """
        rest = ~out if (self.y[~out] == NORMAL).any() else np.ones(len(self.X), dtype=bool)
        return replace(
            self,
            X=self.X[rest],
            y=self.y[rest],
            unlabelled=self.unlabelled[rest],
            order=self.order[rest],
        )

    @property
    def normals(self) -> Array:
        """Normal rows of the support: (n_normal, d)."""
        return self.X[self.y == NORMAL]

    def folds(self) -> Positions:
        """Assign each row to the fold that leaves it out: one row a fold up to 20, else 5 folds.

        Returns
        -------
        fold : ndarray of shape (n_support,)
            Number of each row's fold.
        """
        n_folds = len(self.X) if len(self.X) <= _MOST_SINGLE_FOLDS else _FOLDS
        order = np.lexsort(self.X.T[::-1])  # the folds do not depend on the order of the rows
        fold = np.empty(len(self.X), dtype=np.intp)
        for label in (NORMAL, ANOMALOUS):
            rows = order[self.y[order] == label]
            fold[rows] = np.arange(len(rows)) % n_folds
        return fold


@dataclass(frozen=True)
class Adaptation:
    """Hold a method adapted to one support, and the leave-one-out scores of that support.

    Attributes
    ----------
    method : Method
        A detector with the parameters at the time of ``fit``.
    state : MetaState
    support : SupportSet
    representation : Representation
    values : dict of str to ndarray
        Result of the module's ``adapt``.
    left_out : ndarray of shape (n_support,) or None
        Anomaly score of each row of the support from the others; None until they are known.
    others : ndarray of shape (n_others,)
        Anomaly scores of normals given to ``fit`` that are not in the support.
    """

    method: Any
    state: MetaState
    support: SupportSet
    representation: Any
    values: dict[str, Array]
    left_out: Array | None = None
    others: Array = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, method: Method, state: MetaState, support: SupportSet, module: Any = None) -> Self:
        """Adapt the module of a state to a support; ``module`` saves building it again."""
        module = method._module(state) if module is None else module
        representation = method._represent(support, state)
        with scoring_torch():
            values = module.adapt(
                aligned(representation.support), aligned(representation.support_y)
            )
        arrays = {name: value.numpy() for name, value in values.items()}
        if "weights" in arrays and hasattr(representation, "weighed"):
            representation = representation.weighed(arrays["weights"])
        return cls(method, state, support, representation, arrays)._with_module(module)

    def to(self, support: SupportSet, state: MetaState | None = None) -> Adaptation:
        """Adapt the same method to another support, with its state or another."""
        if state is not None:
            return Adaptation.of(self.method, state, support)
        return Adaptation.of(self.method, self.state, support, self.module)

    def with_parameters(self, **parameters: Any) -> Adaptation:
        """Return the adaptation with other parameters, which change no scores."""
        method = copy.copy(self.method)
        vars(method).update(parameters)
        return replace(self, method=method)._with_module(self.module)

    def with_left_out(self, scores: Array) -> Adaptation:
        """Return the adaptation with the leave-one-out scores of its support."""
        return replace(self, left_out=scores)._with_module(self.module)

    def with_others(self, scores: Array) -> Adaptation:
        """Return the adaptation with the scores of normals that are not in its support."""
        return replace(self, others=scores)._with_module(self.module)

    @cached_property
    def module(self) -> Any:
        """Torch module; left out of pickles and built again from the state."""
        with usual_torch(), torch_seed(0):  # which the weights of the state replace
            return self.method._module(self.state)

    @cached_property
    def lookup(self) -> SupportLookup:
        """Lookup that finds rows of the support among others; left out of pickles too."""
        return SupportLookup.of(self.support.X, self.support.y)

    @cached_property
    def range(self) -> Range:
        """Range of the support, out of which rows are anomalies; left out of pickles too."""
        return Range.of(self.support.X, self.support.normals)

    def score(self, X: Array) -> Array:
        """Score rows; rows of the support get their leave-one-out scores: (m, d) -> (m,).

        Rows far out of the range of the support score higher than all of it.
        """
        return self._in_own_blocks(self._score_block, X)

    def score_fresh(self, X: Array) -> Array:
        """Score rows without looking them up in the support: (m, d) -> (m,)."""
        return self._in_own_blocks(self.score_block, X)

    def score_block(self, X: Array) -> Array:
        """Score the rows of one block: (m, d) -> (m,)."""
        return self.score_represented(self.representation.transform(X))

    def score_represented(self, Z: Array) -> Array:
        """Score rows that are represented already: (m, d_out) -> (m,)."""
        if self._row_by_row:
            scores: Array = self.module.score_rows(self.values, Z)
            return scores
        with scoring_torch():
            return self.module.score(self.tensors(), aligned(Z)).numpy()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copy the values to torch."""
        return {name: aligned(value) for name, value in self.values.items()}

    def in_blocks(self, function: Callable[[Array], Array], X: Array) -> Array:
        """Apply a function to rows, block by block: see :func:`in_blocks`."""
        n_support = self.support.n_given
        if hasattr(self.module, "block_size"):
            size = self.module.block_size(n_support)
        else:
            size = block_size(_BLOCK_NUMBERS, max(X.shape[1], n_support), *_BLOCK_ROWS)
        return in_blocks(function, X, size)

    def _in_own_blocks(self, function: Callable[[Array], Array], X: Array) -> Array:
        """Apply a function that scores rows: without padding where rows do not need it."""
        return in_plain_blocks(function, X) if self._row_by_row else self.in_blocks(function, X)

    @property
    def _row_by_row(self) -> bool:
        """Return whether a row scores the same, to the bit, whatever rows join it."""
        by_row = getattr(self.representation, "row_by_row", False)
        return by_row and hasattr(self.module, "score_rows")

    def left_out_by_label(self) -> tuple[Array, Array]:
        """Return leave-one-out scores of normals given to fit and of the labelled anomalies."""
        assert self.left_out is not None
        y = self.support.y
        normals = np.concatenate([self.left_out[y == NORMAL], self.others])
        return normals, self.left_out[y == ANOMALOUS]

    def _score_block(self, X: Array) -> Array:
        own, far = self.lookup.find(X), self.range.outside(X)
        scores = self.score_block(self.range.nearest(X) if far.any() else X)
        if self.left_out is not None and far.any():
            scores[far] = np.maximum(scores[far], floor_of_far_rows(self.left_out))
        if self.left_out is not None and (own >= 0).any():
            scores[own >= 0] = self.left_out[own[own >= 0]]
        return scores

    def _with_module(self, module: Any) -> Self:
        self.__dict__["module"] = module
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("module", "lookup", "range")}


def left_out_scores(adaptation: Adaptation) -> Array:
    """Compute leave-one-out scores of a support by one adaptation for each fold: (n_support,)."""
    support, fold = adaptation.support, adaptation.support.folds()
    scores = np.empty(len(support.X))
    for out in (fold == i for i in range(fold.max() + 1)):
        if out.any():
            scores[out] = adaptation.to(support.without(out)).score_block(support.X[out])
    return scores

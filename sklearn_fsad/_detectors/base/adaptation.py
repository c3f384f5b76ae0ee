"""A detector adapted to one support, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import torch

from ..._input.labels import ANOMALOUS, NORMAL, UNLABELLED
from ..._state import MetaState
from ..._training.layers import aligned
from ..._typing import Array, Codes, Mask, Positions
from .blocks import in_blocks
from .support_lookup import SupportLookup

_MOST_SINGLE_FOLDS, _FOLDS = 20, 5


class Representation(Protocol):
    """How a support describes rows to a module: scaled features, or evidence."""

    @property
    def support(self) -> Array:
        """The support, described, and rows made from it: (n_support, d_out)."""
        ...

    @property
    def support_y(self) -> Codes:
        """Labels of its rows, as the module reads them: (n_support,)."""
        ...

    def transform(self, X: Array) -> Array:
        """Describe rows: (m, d) -> (m, d_out)."""
        ...


class Method(Protocol):
    """The two hooks of a detector that adapting takes."""

    def _module(self, state: MetaState) -> Any: ...

    def _represent(self, support: SupportSet, state: MetaState) -> Representation: ...


@dataclass(frozen=True)
class SupportSet:
    """Rows to adapt to, in an order of their own: sums round alike however they were given.

    Attributes
    ----------
    X : ndarray of shape (n_support, d)
    y : ndarray of shape (n_support,), dtype int8
        0 normal, 1 anomalous; unlabelled rows count as normal.
    unlabelled : ndarray of shape (n_support,), dtype bool
        Which of the rows have no label.
    order : ndarray of shape (n_support,)
        Their positions among the rows that were given.
    n_given : int
        Number of these, rows that ``clean_support`` left out among them.
    """

    X: Array
    y: Codes
    unlabelled: Mask
    order: Positions
    n_given: int

    @classmethod
    def of(cls, X: Array, codes: Codes, kept: Mask) -> Self:
        """The kept of some rows with their labels, sorted: (n, d), (n,), (n,)."""
        order = np.lexsort([codes == ANOMALOUS, *X.T[::-1]])
        order = order[kept[order]]
        y = np.where(codes[order] == ANOMALOUS, ANOMALOUS, NORMAL).astype(np.int8)
        return cls(X[order], y, codes[order] == UNLABELLED, order, len(X))

    def without(self, out: Mask) -> SupportSet:
        """The rows that a mask leaves, or all where these hold no normal row."""
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
        """Its normal rows: (n_normal, d)."""
        return self.X[self.y == NORMAL]

    def folds(self) -> Positions:
        """Fold in which each row is left out: up to 20 folds of one row, else 5 folds."""
        n_folds = len(self.X) if len(self.X) <= _MOST_SINGLE_FOLDS else _FOLDS
        order = np.lexsort(self.X.T[::-1])  # the folds do not depend on the order of the rows
        fold = np.empty(len(self.X), dtype=np.intp)
        for label in (NORMAL, ANOMALOUS):
            rows = order[self.y[order] == label]
            fold[rows] = np.arange(len(rows)) % n_folds
        return fold


@dataclass(frozen=True)
class Adaptation:
    """A method adapted to one support, and the leave-one-out scores of that support.

    Attributes
    ----------
    method : Method
        A detector with the parameters that ``fit`` saw.
    state : MetaState
    support : SupportSet
    representation : Representation
    values : dict of str to ndarray
        What the module's ``adapt`` returned.
    left_out : ndarray of shape (n_support,) or None
        Anomaly score of each row of the support from the others; None until they are known.
    """

    method: Any
    state: MetaState
    support: SupportSet
    representation: Any
    values: dict[str, Array]
    left_out: Array | None = None

    @classmethod
    def of(cls, method: Method, state: MetaState, support: SupportSet, module: Any = None) -> Self:
        """Adapt the module of a state, or one that was made from it before, to a support."""
        module = method._module(state) if module is None else module
        representation = method._represent(support, state)
        with torch.no_grad():
            values = module.adapt(
                aligned(representation.support), aligned(representation.support_y)
            )
        arrays = {name: value.numpy() for name, value in values.items()}
        return cls(method, state, support, representation, arrays)._with_module(module)

    def to(self, support: SupportSet, state: MetaState | None = None) -> Adaptation:
        """The same method adapted to another support, with its state or another."""
        if state is not None:
            return Adaptation.of(self.method, state, support)
        return Adaptation.of(self.method, self.state, support, self.module)

    def with_left_out(self, scores: Array) -> Adaptation:
        """The adaptation that knows the leave-one-out scores of its support."""
        return replace(self, left_out=scores)._with_module(self.module)

    @cached_property
    def module(self) -> Any:
        """The torch module; left out of pickles and built again from the state."""
        return self.method._module(self.state)

    @cached_property
    def lookup(self) -> SupportLookup:
        """Finds rows of the support among others; left out of pickles too."""
        return SupportLookup.of(self.support.X, self.support.y)

    def score(self, X: Array) -> Array:
        """Anomaly scores of rows; those of the support from the others of it: (m, d) -> (m,)."""
        return self.in_blocks(self._score_block, X)

    def score_fresh(self, X: Array) -> Array:
        """Anomaly scores of rows as if none were in the support: (m, d) -> (m,)."""
        return self.in_blocks(self.score_block, X)

    def score_block(self, X: Array) -> Array:
        """Anomaly scores of the rows of one block: (m, d) -> (m,)."""
        return self.score_represented(self.representation.transform(X))

    def score_represented(self, Z: Array) -> Array:
        """Anomaly scores of rows that are represented already: (m, d_out) -> (m,)."""
        with torch.no_grad():
            return self.module.score(self.tensors(), aligned(Z)).numpy()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copy the values to torch."""
        return {name: aligned(value) for name, value in self.values.items()}

    def in_blocks(self, function: Callable[[Array], Array], X: Array) -> Array:
        """Apply a function to rows, block by block: see :func:`in_blocks`."""
        return in_blocks(function, X, n_support=self.support.n_given)

    def left_out_by_label(self) -> tuple[Array, Array]:
        """Leave-one-out scores of the normals and of the labelled anomalies of the support."""
        assert self.left_out is not None
        y = self.support.y
        return self.left_out[y == NORMAL], self.left_out[y == ANOMALOUS]

    def _score_block(self, X: Array) -> Array:
        own, scores = self.lookup.find(X), self.score_block(X)
        if self.left_out is not None and (own >= 0).any():
            scores[own >= 0] = self.left_out[own[own >= 0]]
        return scores

    def _with_module(self, module: Any) -> Self:
        self.__dict__["module"] = module
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("module", "lookup")}


def left_out_scores(adaptation: Adaptation) -> Array:
    """Score each row of a support by adaptations to the others, fold by fold: (n_support,)."""
    support, fold = adaptation.support, adaptation.support.folds()
    scores = np.empty(len(support.X))
    for out in (fold == i for i in range(fold.max() + 1)):
        if out.any():
            scores[out] = adaptation.to(support.without(out)).score_block(support.X[out])
    return scores

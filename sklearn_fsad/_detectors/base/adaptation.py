"""Adapt a method to one support, and hold the result as a value."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import torch

from ..._input.labels import ANOMALOUS, NORMAL
from ..._state import MetaState
from ..._training.layers import aligned
from ..._training.seeding import torch_seed
from ..._training.usual_torch import scoring_torch, usual_torch
from ..._typing import Array, Codes
from .blocks import block_size, in_blocks, in_plain_blocks
from .far_rows import Range, floor_of_far_rows
from .support_lookup import SupportLookup
from .support_set import SupportSet
from .table_reader import TableReader

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
    """Provide what adaptation needs of a detector."""

    _fills_gaps: bool  # whether missing entries are filled before rows are represented

    def _module(self, state: MetaState) -> Any: ...

    def _represent(self, support: SupportSet, state: MetaState) -> Representation: ...


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
    def of(
        cls,
        method: Method,
        state: MetaState,
        support: SupportSet,
        module: Any = None,
        reader: TableReader | None = None,
    ) -> Self:
        """Adapt the module of a state to a support; the others save building them again."""
        module = method._module(state) if module is None else module
        reader = TableReader(support) if reader is None else reader
        read = reader.support if method._fills_gaps else support
        representation = method._represent(read, state)
        with scoring_torch():
            values = module.adapt(
                aligned(representation.support), aligned(representation.support_y)
            )
        arrays = {name: value.numpy() for name, value in values.items()}
        if "weights" in arrays and hasattr(representation, "weighed"):
            representation = representation.weighed(arrays["weights"])
        made = cls(method, state, support, representation, arrays)
        return made._with(module=module, reader=reader)

    def to(self, support: SupportSet, state: MetaState | None = None) -> Adaptation:
        """Adapt the same method to another support, with its state or another."""
        if state is not None:
            return Adaptation.of(self.method, state, support)
        return Adaptation.of(self.method, self.state, support, self.module)

    def with_parameters(self, **parameters: Any) -> Adaptation:
        """Return the adaptation with other parameters, which change no scores."""
        method = copy.copy(self.method)
        vars(method).update(parameters)
        return replace(self, method=method)._sharing(self)

    def with_left_out(self, scores: Array) -> Adaptation:
        """Return the adaptation with the leave-one-out scores of its support."""
        return replace(self, left_out=scores)._sharing(self)

    def with_others(self, scores: Array) -> Adaptation:
        """Return the adaptation with the scores of normals that are not in its support."""
        return replace(self, others=scores)._sharing(self)

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

    @cached_property
    def reader(self) -> TableReader:
        """Reader of gaps and categories, made from the support; left out of pickles too."""
        return TableReader(self.support)

    def score(self, X: Array) -> Array:
        """Score rows; rows of the support get their leave-one-out scores: (m, d) -> (m,).

        Rows far out of the range of the support score higher than all of it.
        """
        return self.in_score_blocks(self._score_block, X)

    def score_fresh(self, X: Array) -> Array:
        """Score rows without looking them up in the support: (m, d) -> (m,)."""
        return self.in_score_blocks(self.score_block, X)

    def score_block(self, X: Array) -> Array:
        """Score the rows of one block: (m, d) -> (m,)."""
        scores = self.score_represented(self.represent(X))
        return scores + self.entry_scores(X) if self._reads(X) else scores

    def score_support(self) -> Array:
        """Score the rows of the support as they are represented, from each other: (n_support,)."""
        scores = self.score_represented(self.representation.support)
        return scores + self.support_entry_scores()

    def represent(self, X: Array) -> Array:
        """Represent rows, read as numbers without gaps: (m, d) -> (m, d_out)."""
        return self.representation.transform(self.numbers(X))

    def numbers(self, X: Array) -> Array:
        """Read rows as numbers without gaps, where the method needs that: (m, d) -> (m, q)."""
        return self.reader.read(X) if self._reads(X) else X

    def entry_scores(self, X: Array) -> Array:
        """Compute what missing entries and rare categories add to scores: (m, d) -> (m,)."""
        return np.asarray(sum(self.parts_of_entry_scores(X).values(), start=np.zeros(len(X))))

    def parts_of_entry_scores(self, X: Array) -> dict[str, Array]:
        """Compute both apart, those that there are: name -> (m,)."""
        return self.reader.scores(X) if self._reads(X) else {}

    def support_entry_scores(self) -> Array:
        """Compute what they add to the leave-one-out scores of the support: (n_support,)."""
        X = self.support.X
        return self.reader.support_scores() if self._reads(X) else np.zeros(len(X))

    def score_represented(self, Z: Array) -> Array:
        """Score rows that are represented already: (m, d_out) -> (m,)."""
        if self._row_by_row:
            scores: Array = self.module.score_rows(self.values, Z)
            return scores
        with scoring_torch():
            return self.module.score(self.tensors, aligned(Z)).numpy()

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The values as tensors; left out of pickles too."""
        with usual_torch():
            return {name: aligned(value) for name, value in self.values.items()}

    def in_blocks(
        self, function: Callable[[Array], Array], X: Array, fill: int | None = None
    ) -> Array:
        """Apply a function to rows, block by block: see :func:`in_blocks`."""
        n_support = self.support.n_given
        if hasattr(self.module, "block_size"):
            size = self.module.block_size(n_support)
        else:
            size = block_size(_BLOCK_NUMBERS, max(X.shape[1], n_support), *_BLOCK_ROWS)
        return in_blocks(function, X, size, fill)

    def in_score_blocks(self, function: Callable[[Array], Array], X: Array) -> Array:
        """Apply a function that scores rows: with no more padding than rows need."""
        if self._row_by_row:
            return in_plain_blocks(function, X)
        return self.in_blocks(function, X, self._fill)

    @cached_property
    def _fill(self) -> int | None:
        """Number of rows that blocks of rows to score are filled up to a multiple of."""
        rows_of = getattr(self.module, "rows_of_whole_vectors", None)
        return None if rows_of is None else rows_of(self.values)

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

    def _reads(self, X: Array) -> bool:
        """Tell whether gaps or categories of rows, or of the support, have to be read."""
        return self.method._fills_gaps and (self.reader.is_needed or bool(np.isnan(X).any()))

    def _sharing(self, other: Adaptation) -> Self:
        """Share what another adaptation to the same support has found."""
        return self._with(**{k: v for k, v in vars(other).items() if k in ("module", "reader")})

    def _with(self, **found: Any) -> Self:
        self.__dict__.update(found)
        return self

    def __getstate__(self) -> dict[str, Any]:
        names = {part.name for part in fields(self)}
        return {k: v for k, v in self.__dict__.items() if k in names}


def left_out_scores(adaptation: Adaptation) -> Array:
    """Compute leave-one-out scores of a support by one adaptation for each fold: (n_support,)."""
    support, fold = adaptation.support, adaptation.support.folds()
    scores = np.empty(len(support.X))
    for out in (fold == i for i in range(fold.max() + 1)):
        if out.any():
            scores[out] = adaptation.to(support.without(out)).score_block(support.X[out])
    return scores

"""Adapt a detector to its support: choose the context, doubt rows, and set the threshold."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..._choice.forgetting import LEAST_NORMALS, Bound
from ..._input.codings import Coding
from ..._input.columns import known_columns
from ..._input.labels import (
    ANOMALOUS,
    NORMAL,
    joined_coding,
    read_labels,
    warn_if_mostly_anomalous,
)
from ..._input.rows import refuse_huge
from ..._state import MetaState, resolve_state
from ..._typing import Array, Codes, Mask
from .adaptation import Adaptation, Method, left_out_scores
from .checks import as_weights_error, check_device, check_state, unfitted_copy
from .cleaning import believed_normals, without_doubtful_anomalies
from .context import context_of, random_order, warn_of_rest
from .decisions import Decisions
from .probability import learned_curve, probability
from .shared_values import Scores, usual_but_for_one_value
from .support_set import SupportSet
from .table_reader import TableReader
from .trust import (
    N_ROUNDS,
    credible_rows,
    joined_trust,
    read_trust,
    reference_rows,
    share_of_anomalies,
)


class Fitting(Decisions, metaclass=ABCMeta):
    """Adapt the state of a method to the rows of a support."""

    _most_scored: ClassVar[int] = 10_000  # rows that ``fit`` scores beyond those of the context

    clean_support: bool | str

    @abstractmethod
    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        """Make the state of a detector that was never meta-fitted."""

    def _adapted_untrained(self, method: Method, support: SupportSet) -> Adaptation:
        """Adapt a detector that was never meta-fitted, with leave-one-out scores of the support."""
        reader = TableReader(support)
        rows = reader.support.X if self._fills_gaps else support.X
        state = self._untrained_state(rows, support.y)
        adaptation = Adaptation.of(method, state, support, reader=reader)
        return adaptation.with_left_out(self._left_out_scores(adaptation))

    def _left_out_scores(self, adaptation: Adaptation) -> Array:
        """Compute the leave-one-out scores of the support: (n_support,)."""
        return left_out_scores(adaptation)

    def _learn_rows(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        adds: bool = False,
        bound: Bound | None = None,
    ) -> None:
        """Fit to rows, added to those given before where ``adds``, and forget what is too much."""
        if not adds:
            check_device(self.device)
        rows = self._validated(
            X, learn=True, reset=not adds, ensure_min_samples=1 if adds else LEAST_NORMALS
        )
        refuse_huge(rows, columns=known_columns(self))
        known = self._coding if adds else None
        codes, coding = self._encoded(y, len(rows), require_normal=not adds, known=known)
        self._coding = joined_coding(known, coding, self.outlier_label)
        trust = read_trust(sample_weight, rows)
        if adds:
            trust = joined_trust(self._trust, len(self.support_y_), trust, len(rows))
            codes = np.concatenate([self.support_y_, codes])
            rows = np.concatenate([self.support_X_, rows])
        if bound is not None:
            kept = bound.kept(rows, codes, self._categories.positions)
            rows, codes = rows[kept], codes[kept]
            trust = None if trust is None else trust[kept]
        self._fit_support(rows, codes, trust)
        if known is None:
            warn_if_mostly_anomalous(codes, self._coding, self.outlier_label)

    def _encoded(self, y: Any, n: int, **how: Any) -> tuple[Codes, Coding | None]:
        """Encode labels of support rows, all normal without ``y``; also return their coding."""
        codes, coding = read_labels(y, n, outlier_label=self.outlier_label, **how)
        return np.full(n, NORMAL, dtype=np.int8) if y is None else codes, coding

    def _fit_support(self, X: Array, codes: Codes, trust: Array | None) -> None:
        self.support_X_, self.support_y_, self._trust = X.copy(), codes, trust
        used = self._rows_of_weight()
        if not used.all():
            X, codes, trust = X[used], codes[used], trust[used]  # type: ignore[index]  # not None where a weight is 0
        n_normal = int((codes != ANOMALOUS).sum())
        if n_normal < 2:
            raise ValueError(
                f"Found {n_normal} sample(s) that are not labelled as anomalies (1 sample is too "
                f"few): {type(self).__name__} needs at least 2 normal or unlabelled rows"
                f"{'' if used.all() else ', of sample_weight above 0'}."
            )
        given = resolve_state(self.pretrained)
        if given is None:
            self._check_parameters()
        else:
            self._check_state(given)
        most = self._most_normals(codes)
        context, others = context_of(X, codes, most, self._most_scored)
        warn_of_rest(codes, context, most)
        kept = np.ones(len(codes), dtype=bool)
        if trust is not None and (trust < 1.0).any():
            judged = context.copy()
            judged[others] = True
            kept[judged] = self._credible(
                X[judged], codes[judged], trust[judged], context[judged], given
            )
            context, others = context & kept, others[kept[others]]
        rows, labels = X[context], codes[context]
        if self.clean_support:
            kept[context] = self._undoubted(rows, labels, given)
        adaptation = self._adapted_to(self._support_of(rows, labels, kept[context]), given)
        if len(others) and not self.clean_support:  # which would have to doubt them too
            adaptation = adaptation.with_others(adaptation.score_fresh(X[others]))
        self._adaptation = adaptation
        used[used] = kept
        self.support_kept_, self.state_ = used, adaptation.state
        self.offset_, self._threshold_by = -self._support_cut(), None

    def _adapted_to(self, support: SupportSet, given: MetaState | None) -> Adaptation:
        """Adapt a given state, or else the untrained one, to a support."""
        method = unfitted_copy(self)  # later set_params must not change it
        if given is None:
            return self._adapted_untrained(method, support)
        with as_weights_error(self.pretrained):
            adaptation = Adaptation.of(method, given, support)
        return adaptation.with_left_out(self._left_out_scores(adaptation))

    def _support_of(self, X: Array, codes: Codes, kept: Mask) -> SupportSet:
        """Make a support of the kept rows: (n, d), (n,), (n,)."""
        return SupportSet.of(X, codes, kept, self._categories.positions)

    def _credible(
        self, X: Array, codes: Codes, trust: Array, context: Mask, given: MetaState | None
    ) -> Mask:
        """Select the rows to keep by the trust in their labels and by what others say: (n,)."""
        by = context.copy()
        by[context] = reference_rows(trust[context], codes[context])
        for _ in range(N_ROUNDS):
            scores = self._scores_from(X, codes, given)(by)
            left_out = (scores[by & (codes != ANOMALOUS)], scores[by & (codes == ANOMALOUS)])
            even, rare = (
                probability(learned_curve(given), scores, *left_out, rate=rate)
                for rate in (0.5, share_of_anomalies(codes[by]))
            )
            kept = credible_rows(trust, codes, np.where(codes == ANOMALOUS, rare, even))
            by = context & kept
        return kept

    def _undoubted(self, X: Array, codes: Codes, given: MetaState | None) -> Mask:
        """Select the rows of the context that ``clean_support`` keeps."""
        kept = self._believed_normals(X, codes, given) | (codes == ANOMALOUS)
        if self.clean_support == "all":
            kept = without_doubtful_anomalies(self._scores_from(X, codes, given), codes, kept)
        return kept

    def _believed_normals(self, X: Array, codes: Codes, given: MetaState | None) -> Mask:
        """Select the normals of the context that ``clean_support`` keeps."""
        kept = believed_normals(self._scores_from(X, codes, given), codes)

        def scores_by_kept() -> Scores:
            adaptation = self._adapted_to(self._support_of(X, codes, kept), given)
            assert adaptation.left_out is not None
            return adaptation.score_fresh, adaptation.left_out

        normal, columns = codes != ANOMALOUS, self._categories.positions
        return kept | usual_but_for_one_value(X, normal, kept, columns, scores_by_kept)

    def _scores_from(
        self, X: Array, codes: Codes, given: MetaState | None
    ) -> Callable[[Mask], Array]:
        """Make a function ``kept -> scores``: each row of the context from the others kept."""

        def scores_from(kept: Mask) -> Array:
            adaptation = self._adapted_to(self._support_of(X, codes, kept), given)
            scores = adaptation.score_fresh(X)
            scores[adaptation.support.order] = adaptation.left_out
            return scores

        return scores_from

    def _check_state(self, state: MetaState) -> None:
        """Refuse a state that does not fit this estimator or the data just validated."""
        check_state(self, state)

    def _scored_support(self) -> Array:
        """Return all rows given to ``fit``, or a random part of many."""
        rows = super()._scored_support()
        most = self._most_scored + self._most_in_context()
        return rows if len(rows) <= most else rows[random_order(rows)[:most]]

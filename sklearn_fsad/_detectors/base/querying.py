"""Choose the rows that an expert should label next."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..._choice import strategies
from ..._choice.coordinates import coordinates, distance_to
from ..._input.labels import ANOMALOUS, UNLABELLED
from ..._training.usual_torch import usual_torch
from ..._typing import Array, Mask, Positions
from ..._values import plain_scalar
from .context import random_order
from .fitting import Fitting
from .support_lookup import occur_in, row_keys

STRATEGIES = ("auto", "diverse", "expected_change", "margin", "top")
_MOST_LOOKED_AT = 1000  # rows of the highest scores
_WIDE = 100  # columns, above which "auto" does not adapt the detector for each candidate
_MOST_COMPARED = 200  # rows whose scores are computed anew for each candidate


class Querying(Fitting):
    """Choose rows of a pool whose labels would teach the detector most."""

    def query(self, X_pool: Any, n: int = 1, strategy: str = "auto") -> Positions:
        """Choose the rows to show an expert next; give the answers to :meth:`partial_fit`.

        The detector is not changed. Rows that equal a labelled training row, and repeats of a row
        within the pool, come last: their labels are known, or will be.

        Parameters
        ----------
        X_pool : array-like of shape (n_samples, n_features)
            Rows whose labels are not known.
        n : int, default=1
            Rows to choose. One at a time is best: each answer changes what is worth asking next.
        strategy : {"auto", "diverse", "expected_change", "margin", "top"}, default="auto"
            What makes a row worth asking about:

            - "auto": "expected_change" for one row of up to 100 columns; "diverse" for wider rows,
              where that takes long, and for several at once;
            - "expected_change": a high score, of a kind that is not known, whose label changes the
              ranking of 200 rows of the pool most [1]_: mean over both labels, weighted by their
              probabilities. Rows that are nearer to a labelled anomaly than to any labelled normal
              row are of a known kind and come after all others. Of the others, those of the
              highest scores are compared, ten more than ``n``. The detector is adapted twice for
              each of them: a choice takes as long as some twenty calls of ``fit``;
            - "diverse", which is quicker: of the ten highest scores of kinds that are not known,
              the one farthest from the labelled anomalies or, as long as there are none, from the
              rows of ``X_pool`` that are labelled training rows: so give the whole pool each time;
            - "top": the highest score;
            - "margin": the score nearest to the threshold.

            Distances are those of all columns in units of their spread, and of categories by
            equality; kinds are looked for among the thousand rows of the highest scores alone.

        Returns
        -------
        positions : ndarray of shape (n,)
            Positions of different rows of ``X_pool``, the one to ask about first first. The choice
            involves no random numbers.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If ``n`` is no whole number from 1 to the number of rows, or ``strategy`` is not known.

        References
        ----------
        .. [1] B. Settles, "Active learning literature survey", University of Wisconsin-Madison,
           2009.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> rng = np.random.default_rng(0)
        >>> pool = np.concatenate([rng.normal(size=(50, 2)), [[9.0, 9.0], [-7.0, 7.0]]])
        >>> detector = ProtoNetDetector().fit(rng.normal(size=(30, 2)))
        >>> detector.query(pool, n=2)
        array([50, 51])
        """
        self._check_fitted()
        rows = self._validated(X_pool, reset=False)
        n, strategy = _checked(plain_scalar(n), len(rows), plain_scalar(strategy))
        if strategy == "auto":
            strategy = "expected_change" if n == 1 and rows.shape[1] <= _WIDE else "diverse"
        with usual_torch():
            scores = self._anomaly_scores(rows)
            known = self._known(rows)
            new, rest = np.flatnonzero(~known), np.flatnonzero(known)
            rest = rest[strategies.top(scores[rest], len(rest))]
            if len(new):
                asked = rows[rest[:_MOST_LOOKED_AT]]
                chosen = self._choose(rows[new], asked, scores[new], min(n, len(new)), strategy)
                new = new[chosen]
        return np.concatenate([new, rest])[:n]

    # --- private ----------------------------------------------------------------------------------
    def _known(self, rows: Array) -> Mask:
        """Mark rows that equal a labelled training row, or an earlier one of them: (m,)."""
        first: dict[bytes, int] = {}
        repeated = np.array([first.setdefault(key, i) != i for i, key in enumerate(row_keys(rows))])
        labelled = self.support_X_[self.support_y_ != UNLABELLED]
        return repeated | occur_in(rows, labelled)

    def _choose(self, X: Array, asked: Array, scores: Array, n: int, strategy: str) -> Positions:
        """Choose n rows whose labels are not known, by validated parameters: positions, (n,)."""
        if strategy == "top":
            return strategies.top(scores, n)
        if strategy == "margin":
            return strategies.margin(scores, -self.offset_, n)
        order = strategies.top(scores, max(_MOST_LOOKED_AT, n))
        first, others = order[:_MOST_LOOKED_AT], order[_MOST_LOOKED_AT:]
        n_first, known_kind, far, Z = min(n, len(first)), *self._kinds(X[first], asked)
        if strategy == "expected_change":
            compared = random_order(X)[:_MOST_COMPARED]
            rescored = partial(self._rescored, X[first], X[compared])
            p, before = self._probabilities(scores[first]), scores[compared]
            chosen = strategies.expected_change(
                scores[first], known_kind, p, n_first, rescored, before
            )
        else:
            chosen = strategies.diverse(scores[first], known_kind, far, Z, n_first)
        return np.concatenate([first[chosen], others])[:n]

    def _kinds(self, X: Array, asked: Array) -> tuple[Mask, Array, Array]:
        """Mark rows of a known kind, and tell how far rows are from what the expert has seen.

        Returns
        -------
        known_kind : ndarray of shape (m,), dtype bool
        far : ndarray of shape (m,)
            Distance to the nearest labelled anomaly or, without any, to the nearest of ``asked``.
        Z : ndarray of shape (m, q)
            Coordinates of the rows.
        """
        support = self._adaptation.support
        anomalous = support.y == ANOMALOUS
        rows = np.concatenate([support.X, X, asked])
        other = np.append(~anomalous, np.ones(len(X) + len(asked), dtype=bool))
        of_support, Z, of_asked = np.split(
            coordinates(rows, other, support.categorical), np.cumsum([len(anomalous), len(X)])
        )
        to_anomaly = distance_to(Z, of_support[anomalous])
        known_kind = to_anomaly < distance_to(Z, of_support[~anomalous & ~support.unlabelled])
        return known_kind, to_anomaly if anomalous.any() else distance_to(Z, of_asked), Z

    def _rescored(self, X: Array, compared: Array, row: int, label: int) -> Array:
        """Score rows by the detector adapted to its support and one row more with a label."""
        support = self._adaptation.support
        codes = np.where(support.unlabelled, UNLABELLED, support.y).astype(np.int8)
        more = np.concatenate([support.X, X[row, None]]), np.append(codes, np.int8(label))
        every = np.ones(len(codes) + 1, dtype=bool)
        return self._adapted_to(self._support_of(*more, every), self.state_).score(compared)


def _checked(n: Any, n_rows: int, strategy: Any) -> tuple[int, str]:
    """Refuse a number of rows that the pool does not have, and strategies that do not exist."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n={n!r} must be a whole number of at least 1.")
    if n > n_rows:
        raise ValueError(f"n={n} rows are asked for, but X_pool has {n_rows}: ask for fewer.")
    if strategy not in STRATEGIES:
        raise ValueError(
            f"strategy={strategy!r} must be one of {', '.join(map(repr, STRATEGIES))}."
        )
    return n, strategy

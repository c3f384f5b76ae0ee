"""Select the rows to learn from by how far each label is trusted, by Bayes' rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.utils.validation import _check_sample_weight

from ..._input.labels import ANOMALOUS
from ..._typing import Array, Codes, Mask
from ..._warn import warn

N_ROUNDS = 2  # in the second one the rows that the first has kept judge too
_LEAST_CERTAIN, _LEAST_KEPT = 5, 2  # normal rows
_HELP = (
    "It takes one number for each row: the probability that its label is right. 1 or more means "
    "certain, 0 leaves the row out."
)


def read_trust(sample_weight: Any, rows: Array) -> Array | None:
    """Validate the weights of rows: (n,), each at least 0; None where none are given.

    Raises
    ------
    ValueError
        If they are negative, missing, infinite, no numbers, or not one for each row.
    """
    if sample_weight is None:
        return None
    try:
        with config_context(array_api_dispatch=False):
            trust = _check_sample_weight(sample_weight, rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".!")
        raise ValueError(f"sample_weight cannot be used: {reason}. {_HELP}") from error
    if (trust < 0).any():
        row = int(np.argmax(trust < 0))
        raise ValueError(f"sample_weight={trust[row]:g} of row {row} is negative. {_HELP}")
    if trust.max() < 0.5:
        warn(
            f"No sample_weight is above {trust.max():.3g}, so each label is more likely wrong than "
            f"right. {_HELP} Weights that add up to 1 are to be divided by the largest.",
        )
    return trust


def joined_trust(former: Array | None, n_former: int, new: Array | None, n_new: int) -> Any:
    """Join the trust in earlier rows and in new ones; None where neither was given."""
    if former is None and new is None:
        return None
    parts = (former, n_former), (new, n_new)
    return np.concatenate([np.ones(n) if part is None else part for part, n in parts])


def reference_rows(trust: Array, codes: Codes) -> Mask:
    """Select the rows that doubtful ones are judged by: those that are certain.

    Where fewer than five of these are normal, all rows are selected.
    """
    certain = trust >= 1.0
    enough = (certain & (codes != ANOMALOUS)).sum() >= _LEAST_CERTAIN
    return certain if enough else np.ones(len(trust), dtype=bool)


def share_of_anomalies(codes: Codes) -> float:
    """Estimate the share of anomalies from labels, by Laplace's rule: never 0 or 1."""
    return float(((codes == ANOMALOUS).sum() + 1) / (len(codes) + 2))


def credible_rows(trust: Array, codes: Codes, p_anomalous: Array) -> Mask:
    """Select the rows whose label is likely right; at least two normal ones.

    Let q be the probability, without looking at the label, that the row is what the label says. By
    Bayes' rule the odds that the label is right are trust / (1 - trust) times q / (1 - q): they are
    at least 1 where trust + q is.

    Parameters
    ----------
    trust : ndarray of shape (n,)
        Probability that a label such as this one is right; 1 or more keeps the row.
    codes : ndarray of shape (n,), dtype int8
        1 marks the anomalies.
    p_anomalous : ndarray of shape (n,)
        Probability that the row is an anomaly, from its score: for rows labelled as normal at even
        odds, since a hidden anomaly costs more than a lost normal row, and for those labelled as
        anomalies where these are as rare as among the rows that judge.
    """
    normal = codes != ANOMALOUS
    credit = trust + np.where(normal, 1.0 - p_anomalous, p_anomalous)
    kept = (trust >= 1.0) | (credit >= 1.0)
    if (kept & normal).sum() < _LEAST_KEPT:
        kept |= normal & (credit >= np.sort(credit[normal])[-_LEAST_KEPT])
    return kept

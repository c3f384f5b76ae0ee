"""Compare several methods over several data sets: ranks, signed-rank tests, cliques [1]_ [2]_.

References
----------
.. [1] J. Demsar, "Statistical comparisons of classifiers over multiple data sets", Journal of
   Machine Learning Research 7, 2006.
.. [2] A. Benavoli, G. Corani and F. Mangili, "Should we really use post-hoc tests based on
   mean-ranks?", Journal of Machine Learning Research 17, 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, wilcoxon

from .._typing import Array


def mean_ranks(values: Array) -> Array:
    """Average the ranks of methods, 1 = largest value: (n_tasks, n_methods) -> (n_methods,).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad._stats.rank_tests import mean_ranks
    >>> mean_ranks(np.array([[0.9, 0.9, 0.5], [0.8, 0.7, 0.6]]))
    array([1.25, 1.75, 3.  ])
    """
    return rankdata(-values, axis=1).mean(axis=0)


def signed_rank_p(a: Array, b: Array) -> float:
    """Compute the two-sided p-value of Wilcoxon's signed-rank test; zeros are split evenly.

    Equal values, or a single pair, give 1.
    """
    if len(a) < 2 or np.array_equal(a, b):
        return 1.0
    return float(wilcoxon(a, b, zero_method="zsplit").pvalue)


def friedman(values: Array) -> tuple[float, float]:
    """Compute Friedman's statistic and its p-value: (n_tasks, n_methods).

    Both are NaN for fewer than three methods or two tasks, and where all values are equal.
    """
    n_tasks, n_methods = values.shape
    if n_methods < 3 or n_tasks < 2 or (values == values[:, :1]).all():
        return float("nan"), float("nan")
    found = friedmanchisquare(*values.T)
    return float(found.statistic), float(found.pvalue)


def holm(p: Array) -> Array:
    """Correct p-values for their number, step by step from the smallest: (n,) -> (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad._stats.rank_tests import holm
    >>> holm(np.array([0.04, 0.01, 0.03]))
    array([0.06, 0.03, 0.06])
    """
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(raised, 1.0)
    return corrected


def pairwise_p(values: Array) -> Array:
    """Test all pairs of methods, corrected by Holm: (n_tasks, n_methods) -> (n_methods, n_methods).

    The diagonal is 1.
    """
    n = values.shape[1]
    first, second = np.triu_indices(n, 1)
    pairs = zip(first, second, strict=True)
    p = holm(np.array([signed_rank_p(values[:, i], values[:, j]) for i, j in pairs]))
    table = np.ones((n, n))
    table[first, second] = table[second, first] = p
    return table


def cliques(ranks: Array, differ: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """List the largest runs of methods, in the order of their ranks, none of which differ.

    Parameters
    ----------
    ranks : ndarray of shape (n_methods,)
        Mean ranks.
    differ : ndarray of shape (n_methods, n_methods), dtype bool
        Whether two methods differ significantly.

    Returns
    -------
    cliques : list of ndarray
        Positions of the methods of each, best first; at least two methods.
    """
    order, found, reached = np.argsort(ranks, kind="stable"), [], 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not differ[order[stop], order[start:stop]].any():
            stop += 1
        if stop - start > 1 and stop > reached:
            found.append(order[start:stop])
            reached = stop
    return found

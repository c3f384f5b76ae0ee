"""Cross-validate with few-shot supports drawn inside tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator

from .._input.labels import ANOMALOUS, NORMAL, UNLABELLED
from ._splits import check_choice, check_count, codes_by_task, draw_seed


class FewShotSplit(BaseCrossValidator):
    """Split rows for few-shot cross-validation: train on a few shots, test on the other rows.

    The train part of a split is a support, a few rows of a task; the test part is the query. With
    ``groups`` (task ids) every split lies inside one task. There are ``n_draws`` in each task, so
    the mean over splits is the macro average over tasks. The draws of a task depend only on
    ``random_state`` and its position. Draw ``i`` permutes the rows once, so a larger support
    contains the smaller ones.

    Parameters
    ----------
    n_normal : int, default=5
        Normal rows in the support, at least 1.
    n_anomalous : int, default=5
        Anomalous rows in the support; 0 for supports without anomalies.
    n_draws : int, default=5
        Supports drawn in each task.
    n_query : int, default=None
        Largest number of rows in the test part, at least 2. They have the same rate of anomalies as
        all other rows, with at least one row of each class. None means all other labelled rows.
    unlabelled : {"drop", "train"}, default="drop"
        Whether to leave unlabelled rows out, or put all of them into each train part of their task.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies, as in the detectors. The splitter reads all of ``y``, but a
        detector sees only its train part: for labels other than {0, 1} and {1, -1} pass the label
        of the anomalies to both.
    on_short : {"raise", "skip"}, default="raise"
        What to do about a task with too few rows to leave one of each class for the test part.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws; None draws anew at each call of :meth:`split`.

    Notes
    -----
    ``GridSearchCV(refit=True)`` refits on all rows it was given, not on a few shots: pass
    ``refit=False``, and fit the best candidate to the few rows of your own task.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.model_selection import FewShotSplit
    >>> X, y = np.zeros((12, 1)), np.array([0] * 8 + [1] * 4)
    >>> for train, test in FewShotSplit(3, 1, n_draws=2, random_state=0).split(X, y):
    ...     print(len(train), len(test), y[train].sum())
    4 8 1
    4 8 1
    """

    # as scikit-learn's own GroupsConsumerMixin does: groups are passed when routing is enabled
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_normal: int = 5,
        n_anomalous: int = 5,
        *,
        n_draws: int = 5,
        n_query: int | None = None,
        unlabelled: str = "drop",
        outlier_label: Any = "auto",
        on_short: str = "raise",
        random_state: Any = None,
    ) -> None:
        check_count("n_normal", n_normal, 1)
        check_count("n_anomalous", n_anomalous, 0)
        check_count("n_draws", n_draws, 1)
        if n_query is not None:
            check_count("n_query", n_query, 2)
        check_choice("unlabelled", unlabelled, ("drop", "train"))
        check_choice("on_short", on_short, ("raise", "skip"))
        self.n_normal = n_normal
        self.n_anomalous = n_anomalous
        self.n_draws = n_draws
        self.n_query = n_query
        self.unlabelled = unlabelled
        self.outlier_label = outlier_label
        self.on_short = on_short
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Draw the splits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; only their number matters.
        y : array-like of shape (n_samples,)
            Labels in any accepted coding.
        groups : array-like of shape (n_samples,), default=None
            Task id of each row; one task when None.

        Yields
        ------
        train, test : ndarray of shape (n_support,) and (n_test,)
            Sorted positions of the rows.

        Raises
        ------
        ValueError
            If ``y`` is missing or cannot be read, or a task, or every task, has too few rows.
        """
        codes, tasks = codes_by_task(self, X, y, groups)
        seed = draw_seed(self.random_state)
        usable = [self._is_usable(codes[rows], name) for name, rows in tasks.items()]
        if not any(usable):
            raise ValueError(
                f"None of the {len(tasks)} tasks has more than {self.n_normal} normal and "
                f"{self.n_anomalous} anomalous rows, so no {self._shots} split can be drawn."
            )
        for position, rows in enumerate(tasks.values()):
            for draw in range(self.n_draws if usable[position] else 0):
                rng = np.random.default_rng([seed, position, draw])
                yield self._draw(codes, rows, rng)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Count the splits: ``n_draws`` for each task with enough rows.

        Parameters
        ----------
        X, y, groups : array-like, default=None
            As in :meth:`split`; one task is assumed when ``y`` is None.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        if y is None and groups is None:
            return self.n_draws
        codes, tasks = codes_by_task(self, y if X is None else X, y, groups)
        return self.n_draws * sum(self._is_usable(codes[r], name) for name, r in tasks.items())

    @property
    def _shots(self) -> str:
        return f"{self.n_normal}+{self.n_anomalous}-shot"

    def _is_usable(self, codes: NDArray[np.int8], name: Any) -> bool:
        n, k = int((codes == NORMAL).sum()), int((codes == ANOMALOUS).sum())
        usable = n > self.n_normal and k > self.n_anomalous
        if not usable and self.on_short == "raise":
            task = "The data" if name is None else f"Task {name!r}"
            raise ValueError(
                f"{task} has {n} labelled normal and {k} anomalous rows: a {self._shots} split "
                f"needs {self.n_normal + 1} and {self.n_anomalous + 1}, one of each for the test "
                "part. Ask for fewer shots, or leave such tasks out with on_short='skip'."
            )
        return usable

    def _draw(
        self, codes: NDArray[np.int8], rows: NDArray[np.intp], rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        normal = rng.permutation(rows[codes[rows] == NORMAL])
        anomalous = rng.permutation(rows[codes[rows] == ANOMALOUS])
        train = [normal[: self.n_normal], anomalous[: self.n_anomalous]]
        if self.unlabelled == "train":
            train.append(rows[codes[rows] == UNLABELLED])
        normal, anomalous = normal[self.n_normal :], anomalous[self.n_anomalous :]
        total = len(normal) + len(anomalous)
        if self.n_query is not None and self.n_query < total:
            k = round(self.n_query * len(anomalous) / total)
            k = min(max(k, 1), self.n_query - 1)
            normal, anomalous = normal[: self.n_query - k], anomalous[:k]
        return np.sort(np.concatenate(train)), np.sort(np.concatenate([normal, anomalous]))

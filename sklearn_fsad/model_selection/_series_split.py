"""Cross-validate on series: train on their start and a few labelled stretches, test on the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from sklearn.model_selection import BaseCrossValidator

from .._input.labels import ANOMALOUS, NORMAL
from ._splits import check_choice, check_count, codes_by_task, draw_seed

_MOST_REDRAWS = 20
Steps = NDArray[np.intp]


class SeriesSplit(BaseCrossValidator):
    """Split series: train on the start and a few labelled stretches, test on the later steps.

    Rows are time steps, in order. With ``groups`` (series ids) every split lies inside one series;
    else all rows are one series. The train part is the normal start of the series and, if asked
    for, stretches of steps that are labelled as anomalous. The test part is the steps after the
    start that lie at least ``embargo`` steps from every training step, so that no window
    of at most ``embargo`` steps holds both.

    Parameters
    ----------
    n_start : int, default=200
        Normal steps in the train part: the first ones of the series. All lie before its first
        anomaly.
    n_stretches : int, default=0
        Labelled stretches in the train part. Each is the beginning of another anomalous stretch of
        the series. Where there are fewer of them, further parts of the same ones are taken, at
        least ``embargo`` steps apart.
    stretch : int, default=16
        Largest number of steps in a labelled stretch.
    embargo : int, default=16
        Smallest distance, in steps, between a test step and the training steps. Use at least the
        number of steps in a window.
    n_draws : int, default=None
        Splits of each series, with stretches drawn at random. Draw ``i`` permutes the anomalous
        stretches once, so more stretches contain the fewer ones; it is drawn again if it leaves
        nothing to test. None means one split, with the first stretches in time; so does
        ``n_stretches=0``.
    outlier_label : "auto", number or str, default="auto"
        The label of the anomalies, as in the detectors.
    on_short : {"raise", "skip"}, default="raise"
        What to do about a series that is too short: fewer than ``n_start`` normal steps before its
        first anomaly, too few anomalies for the stretches, or no normal or no anomalous step left
        for the test part.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws; None draws anew at each call of :meth:`split`.

    Notes
    -----
    Unlabelled steps are never in the train part. They are in the test part, since windows need the
    steps before; the scorers of this package leave them out.

    The parts have holes, which windows must not cross. Detectors for series see them in the index
    of a pandas frame; :class:`TaskEstimator` passes the positions of the steps as ``times``.

    ``GridSearchCV(refit=True)`` refits on all rows it was given: pass ``refit=False``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad.model_selection import SeriesSplit
    >>> y = np.zeros(60)
    >>> y[30:36] = y[50:54] = 1
    >>> splitter = SeriesSplit(n_start=10, n_stretches=1, stretch=3, embargo=4)
    >>> for train, test in splitter.split(np.zeros((60, 1)), y):
    ...     print(train, test[[0, -1]], y[test].sum())
    [ 0  1  2  3  4  5  6  7  8  9 30 31 32] [13 59] 4.0
    """

    # as scikit-learn's own GroupsConsumerMixin does: groups are passed when routing is enabled
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_start: int = 200,
        n_stretches: int = 0,
        *,
        stretch: int = 16,
        embargo: int = 16,
        n_draws: int | None = None,
        outlier_label: Any = "auto",
        on_short: str = "raise",
        random_state: Any = None,
    ) -> None:
        check_count("n_start", n_start, 1)
        check_count("n_stretches", n_stretches, 0)
        check_count("stretch", stretch, 1)
        check_count("embargo", embargo, 0)
        if n_draws is not None:
            check_count("n_draws", n_draws, 1)
        check_choice("on_short", on_short, ("raise", "skip"))
        self.n_start = n_start
        self.n_stretches = n_stretches
        self.stretch = stretch
        self.embargo = embargo
        self.n_draws = n_draws
        self.outlier_label = outlier_label
        self.on_short = on_short
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Make the splits, series by series.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Steps, those of a series in order; only their number matters.
        y : array-like of shape (n_samples,)
            Labels of the steps in any accepted coding.
        groups : array-like of shape (n_samples,), default=None
            Series id of each step; one series when None.

        Yields
        ------
        train, test : ndarray of shape (n_train,) and (n_test,)
            Sorted positions of the steps.

        Raises
        ------
        ValueError
            If ``y`` is missing or cannot be read, or a series, or every series, is too short.
        """
        codes, series = codes_by_task(self, X, y, groups)
        reasons = {name: self._short(codes[rows], name) for name, rows in series.items()}
        if all(reasons.values()):
            raise ValueError(
                f"None of the {len(series)} series can be split. {next(iter(reasons.values()))}"
            )
        seed = draw_seed(self.random_state)
        for position, (name, rows) in enumerate(series.items()):
            for draw in range(0 if reasons[name] else self._n_each):
                rng = np.random.default_rng([seed, position, draw])
                train, test = self._draw(codes[rows], rng)
                yield np.sort(rows[train]), np.sort(rows[test])

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Count the splits.

        Parameters
        ----------
        X, y, groups : array-like, default=None
            As in :meth:`split`; one series is assumed when ``y`` is None.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        if y is None and groups is None:
            return self._n_each
        codes, series = codes_by_task(self, y if X is None else X, y, groups)
        return self._n_each * sum(not self._short(codes[r], name) for name, r in series.items())

    @property
    def _n_each(self) -> int:
        """Number of splits of a series."""
        return self.n_draws if self.n_draws is not None and self.n_stretches else 1

    def _short(self, codes: NDArray[np.int8], name: Any) -> str:
        """Say why a series cannot be split; empty if it can be."""
        reason = self._reason(codes)
        if not reason:
            return ""
        short = f"{'The series' if name is None else f'Series {name!r}'} has {reason}"
        if self.on_short == "raise":
            raise ValueError(f"{short} Or leave such series out with on_short='skip'.")
        return short

    def _reason(self, codes: NDArray[np.int8]) -> str:
        anomalous = np.flatnonzero(codes == ANOMALOUS)
        before = codes[: anomalous[0]] if len(anomalous) else codes
        n_before = int((before == NORMAL).sum())
        if n_before < self.n_start:
            return (
                f"{n_before} normal steps before its first anomaly: n_start={self.n_start} needs "
                f"{self.n_start}. Lower n_start."
            )
        stretches = _stretches(codes)
        parts = self._parts(stretches, range(len(stretches)))
        if len(parts) < self.n_stretches:
            return (
                f"{len(stretches)} anomalous stretches, {len(anomalous)} steps in all: "
                f"n_stretches={self.n_stretches} needs as many parts of them, {self.embargo} steps "
                f"apart, and {len(parts)} can be made. Ask for fewer stretches."
            )
        test = codes[self._test(codes, self._train(codes, parts))]
        n, k = int((test == NORMAL).sum()), int((test == ANOMALOUS).sum())
        if n and k:
            return ""
        return (
            f"{n} labelled normal and {k} anomalous steps left for the test part, which needs one "
            f"of each, at least {self.embargo} steps from the training steps. Ask for a shorter "
            "start, fewer or shorter stretches, or a smaller embargo."
        )

    def _draw(self, codes: NDArray[np.int8], rng: np.random.Generator) -> tuple[Steps, Steps]:
        """Return training and test steps of a series that is long enough."""
        stretches = _stretches(codes)
        in_time = range(len(stretches))
        orders: list[Sequence[int]] = [in_time]
        if self.n_draws is not None:
            orders = [rng.permutation(in_time).tolist() for _ in range(_MOST_REDRAWS)] + orders
        for order in orders:
            train = self._train(codes, self._parts(stretches, order))
            test = self._test(codes, train)
            if {NORMAL, ANOMALOUS} <= set(codes[test].tolist()):  # so it is for the last at least
                break
        return train, test

    def _parts(self, stretches: Sequence[range], order: Iterable[int]) -> list[range]:
        """List parts of stretches: first the beginnings of all in this order, then second ones."""
        apart = self.stretch - 1 + max(self.embargo, 1)
        rounds: dict[int, list[range]] = {}
        for i in order:
            for number, start in enumerate(range(stretches[i].start, stretches[i].stop, apart)):
                part = range(start, min(start + self.stretch, stretches[i].stop))
                rounds.setdefault(number, []).append(part)
        return [part for number in sorted(rounds) for part in rounds[number]]

    def _train(self, codes: NDArray[np.int8], parts: Sequence[range]) -> Steps:
        start = np.flatnonzero(codes == NORMAL)[: self.n_start]
        return np.concatenate([start, *parts[: self.n_stretches]]).astype(np.intp)

    def _test(self, codes: NDArray[np.int8], train: Steps) -> Steps:
        other = np.ones(len(codes), dtype=bool)
        other[train] = False
        far = distance_transform_edt(other) >= max(self.embargo, 1)  # from the next training step
        far[: train[self.n_start - 1]] = False  # unlabelled steps of the start
        return np.flatnonzero(far)


def _stretches(codes: NDArray[np.int8]) -> list[range]:
    """List the stretches of anomalous steps."""
    steps = np.diff((codes == ANOMALOUS).astype(np.int8), prepend=0, append=0)
    return list(map(range, np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)))

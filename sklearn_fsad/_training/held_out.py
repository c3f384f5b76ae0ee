"""Compare options on held-out tasks, and choose how much of a correction to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._stats.ranking import LEAST_GROUPS, clearly_better, standard_error
from .._typing import Array

REGIMES = ("unlabelled", "labelled")  # supports without and with labelled anomalies
SIZES = np.linspace(0.0, 1.0, 9)  # of a correction: shares of it that are compared
USUAL_SIZE = 0.25
CORRECTED = "corrected"  # name of the baseline with the chosen share of a correction
_USUAL_GROUPS = 6.0  # that the usual size counts for


@dataclass(frozen=True)
class HeldOutEpisode:
    """Hold the ROC AUC of each option on one episode of a held-out task.

    Attributes
    ----------
    group : int
        Number of the group of siblings that the task belongs to.
    regime : int
        Position in ``REGIMES``.
    aucs : ndarray of shape (n_options,)
        The first is that of the baseline.
    by_size : ndarray of shape (n_sizes,) or None, default=None
        Those of the baseline with each share ``SIZES`` of a correction.
    fold : int, default=0
        Fold of the task.
    """

    group: int
    regime: int
    aucs: Array
    by_size: Array | None = None
    fold: int = 0


@dataclass(frozen=True)
class HeldOutReport:
    """Hold the result of a held-out comparison in one regime, and which option is used.

    Attributes
    ----------
    choice : str
        What the options are for.
    regime : str
        Kind of support, one of ``REGIMES``.
    used : str
        Name of the option that is used.
    roc_auc : mapping of str to float
        Name of each option that could be measured -> its mean over groups.
    size : float or None, default=None
        Share of a correction that is used, where that was to be chosen.
    standard_error : float or None, default=None
        Of the gain of what is used over the baseline, over groups.
    """

    choice: str
    regime: str
    used: str
    roc_auc: Mapping[str, float]
    size: float | None = None
    standard_error: float | None = None

    def using(self, option: str) -> HeldOutReport:
        """Return the report where an option is used all the same, and no share of a correction."""
        roc_auc = {name: auc for name, auc in self.roc_auc.items() if name != CORRECTED}
        return HeldOutReport(self.choice, self.regime, option, roc_auc)

    def to_info(self) -> dict[str, Any]:
        """Return an entry of ``MetaState.info["held_out"]``."""
        rounded = {name: round(auc, 4) for name, auc in self.roc_auc.items()}
        info = {"choice": self.choice, "regime": self.regime, "used": self.used, "roc_auc": rounded}
        for name in ("size", "standard_error"):
            value = getattr(self, name)
            if value is not None:
                info[name] = round(value, 4)
        return info


class HeldOutComparison:
    """Decide in each regime whether to use a candidate in place of a baseline.

    It is used where it beats the baseline by more than one standard error over at least three
    groups, and is behind it in no fold: what is learned on siblings often fails on other groups,
    and the result on two held-out groups tells little about a third.

    Parameters
    ----------
    episodes : sequence of HeldOutEpisode
    choice : str
        What the options are for.
    options : sequence of str
        Names of the baseline, the candidate and whatever else was scored.

    Attributes
    ----------
    used : tuple of two bool
        Whether to use the candidate without and with labelled anomalies.
    reports : list of HeldOutReport
        One for each regime that has episodes.
    quality : float
        Mean ROC AUC of the options that are used, 0 without any episode.
    """

    def __init__(
        self, episodes: Sequence[HeldOutEpisode], choice: str, options: Sequence[str]
    ) -> None:
        self.reports: list[HeldOutReport] = []
        used, quality = [], []
        for regime, name in enumerate(REGIMES):
            folds, aucs = group_means([e for e in episodes if e.regime == regime])
            wins = _is_better(folds, aucs)
            used.append(wins)
            if len(aucs):
                means = aucs.mean(axis=0)
                quality.append(means[int(wins)])
                measured = zip(options, map(float, means), strict=True)
                roc_auc = {name: auc for name, auc in measured if np.isfinite(auc)}
                error = gain_error(aucs[:, 1] - aucs[:, 0]) if wins else None
                report = HeldOutReport(
                    choice, name, options[int(wins)], roc_auc, standard_error=error
                )
                self.reports.append(report)
        self.used = (used[0], used[1])
        self.quality = float(np.mean(quality)) if quality else 0.0


class HeldOutCorrection:
    """Choose in each regime how much of a correction to add to a baseline.

    See :func:`chosen_size`.

    Parameters
    ----------
    episodes : sequence of HeldOutEpisode
        With the ROC AUC of each size.
    choice : str
        What is corrected.
    options : sequence of str
        Names of the baseline, the baseline with the whole correction, and whatever else was scored.

    Attributes
    ----------
    sizes : tuple of two float
        Share of the correction to use without and with labelled anomalies.
    reports : list of HeldOutReport
        One for each regime that has episodes.
    quality : float
        Mean ROC AUC with these sizes, 0 without any episode.
    """

    def __init__(
        self, episodes: Sequence[HeldOutEpisode], choice: str, options: Sequence[str]
    ) -> None:
        self.reports: list[HeldOutReport] = []
        sizes, quality = [], []
        for regime, name in enumerate(REGIMES):
            part = [e for e in episodes if e.regime == regime]
            by_size = group_means(part, "by_size")[1]
            size = chosen_size(by_size)
            sizes.append(size)
            if not len(by_size):
                continue
            corrected = np.array([np.interp(size, SIZES, aucs) for aucs in by_size])
            quality.append(float(corrected.mean()))
            measured = zip(options, map(float, group_means(part)[1].mean(axis=0)), strict=True)
            roc_auc = {name: auc for name, auc in measured if np.isfinite(auc)}
            roc_auc = {options[0]: roc_auc.pop(options[0]), CORRECTED: quality[-1], **roc_auc}
            error = gain_error(corrected - by_size[:, 0])
            self.reports.append(HeldOutReport(choice, name, CORRECTED, roc_auc, size, error))
        self.sizes = (sizes[0], sizes[1])
        self.quality = float(np.mean(quality)) if quality else 0.0


def chosen_size(by_size: Array) -> float:
    """Choose the size of a correction from the mean ROC AUC of each group with each of ``SIZES``.

    The best size over all groups is averaged with a quarter, which counts for six groups; with
    fewer than three groups it is a quarter. A quarter, of the mean of several networks, is better
    than nothing on almost any family of tasks, and networks that have seen all tasks are better
    than those that are scored on held-out ones.

    Parameters
    ----------
    by_size : ndarray of shape (n_groups, n_sizes)
    """
    n = len(by_size)
    if n < LEAST_GROUPS:
        return USUAL_SIZE
    best = float(SIZES[by_size.mean(axis=0).argmax()])
    return (n * best + _USUAL_GROUPS * USUAL_SIZE) / (n + _USUAL_GROUPS)


def group_means(
    episodes: Sequence[HeldOutEpisode], what: str = "aucs"
) -> tuple[NDArray[np.intp], Array]:
    """Compute the fold and mean ROC AUCs of each group: (n_groups,), (n_groups, n_options)."""
    groups: dict[tuple[int, int], list[Array]] = {}
    for e in episodes:
        groups.setdefault((e.fold, e.group), []).append(getattr(e, what))
    folds = np.array([fold for fold, _ in groups], dtype=np.intp)
    return folds, np.array([np.mean(aucs, axis=0) for aucs in groups.values()])


def gain_error(gains: Array) -> float | None:
    """Compute the standard error of a mean gain over groups: (n_groups,); None of a single one."""
    return float(standard_error(gains)) if len(gains) > 1 else None


def is_behind(episodes: Sequence[HeldOutEpisode]) -> bool:
    """Return whether the candidate has the lower mean ROC AUC over the groups of episodes."""
    _, aucs = group_means(episodes)
    return bool((aucs[:, 1] - aucs[:, 0]).mean() < 0)


def _is_better(folds: NDArray[np.intp], aucs: Array) -> bool:
    """Return whether the candidate is clearly better, and behind in no fold."""
    if not len(aucs):
        return False
    gain = aucs[:, 1] - aucs[:, 0]
    behind = any(gain[folds == fold].mean() < 0 for fold in set(folds))
    return clearly_better(gain) and not behind

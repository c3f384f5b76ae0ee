"""Compare options on held-out tasks, group by group of sibling tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._stats.ranking import clearly_better
from .._typing import Array

REGIMES = ("unlabelled", "labelled")  # supports without and with labelled anomalies


@dataclass(frozen=True)
class HeldOutEpisode:
    """Hold the ROC AUC of each option on one episode of a held-out task.

    Attributes
    ----------
    fold : int
        Fold of the task.
    group : int
        Number of the group of siblings that the task belongs to.
    regime : int
        Position in ``REGIMES``.
    aucs : ndarray of shape (n_options,)
        The first is that of the baseline.
    """

    fold: int
    group: int
    regime: int
    aucs: Array


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
    """

    choice: str
    regime: str
    used: str
    roc_auc: Mapping[str, float]

    def to_info(self) -> dict[str, Any]:
        """Return an entry of ``MetaState.info["held_out"]``."""
        rounded = {name: round(auc, 4) for name, auc in self.roc_auc.items()}
        return {"choice": self.choice, "regime": self.regime, "used": self.used, "roc_auc": rounded}


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
    gate : bool, default=True
        Whether the candidate has to be better to be used.

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
        self,
        episodes: Sequence[HeldOutEpisode],
        choice: str,
        options: Sequence[str],
        gate: bool = True,
    ) -> None:
        self.reports: list[HeldOutReport] = []
        used, quality = [], []
        for regime, name in enumerate(REGIMES):
            folds, aucs = group_means([e for e in episodes if e.regime == regime])
            wins = not gate or _is_better(folds, aucs)
            used.append(wins)
            if len(aucs):
                means = aucs.mean(axis=0)
                quality.append(means[int(wins)])
                measured = zip(options, map(float, means), strict=True)
                roc_auc = {name: auc for name, auc in measured if np.isfinite(auc)}
                self.reports.append(HeldOutReport(choice, name, options[int(wins)], roc_auc))
        self.used = (used[0], used[1])
        self.quality = float(np.mean(quality)) if quality else 0.0


def group_means(episodes: Sequence[HeldOutEpisode]) -> tuple[NDArray[np.intp], Array]:
    """Compute the fold and mean ROC AUCs of each group: (n_groups,), (n_groups, n_options)."""
    groups: dict[tuple[int, int], list[Array]] = {}
    for e in episodes:
        groups.setdefault((e.fold, e.group), []).append(e.aucs)
    folds = np.array([fold for fold, _ in groups], dtype=np.intp)
    return folds, np.array([np.mean(aucs, axis=0) for aucs in groups.values()])


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

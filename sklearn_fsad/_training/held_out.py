"""Compare a candidate with a baseline on held-out tasks, group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._typing import Array

REGIMES = ("unlabelled", "labelled")
LEAST_GROUPS = 3
_COMPARED = ("closed form", "adapted", "not adapted", "swapped support", "permuted labels")


@dataclass(frozen=True)
class Judged:
    """AUCs of one held-out episode, in the order of ``_COMPARED``."""

    fold: int
    group: int
    regime: int
    aucs: Array


class Verdict:
    """What held-out episodes say of a network, group by group of sibling tasks.

    A network is used where it beats the closed form by more than one standard error over at least
    three groups, and in no fold falls behind it: what is learned on siblings often fails others,
    and two groups that were left out tell little about a third.
    """

    def __init__(self, judged: Sequence[Judged], gate: bool) -> None:
        self.report: list[dict[str, Any]] = []
        approvals, quality = [], []
        for regime, name in enumerate(REGIMES):
            means = _by_group([j for j in judged if j.regime == regime])
            approved = not gate or _approved(means)
            approvals.append(approved)
            if means:
                aucs = np.mean([auc for _, auc in means], axis=0)
                quality.append(aucs[1] if approved else aucs[0])
                shown = zip(_COMPARED, aucs, strict=True)
                self.report.append(
                    {"regime": name, "used": "network" if approved else "closed form"}
                    | {score: round(float(auc), 4) for score, auc in shown if np.isfinite(auc)}
                )
        self.approved = (approvals[0], approvals[1])
        self.quality = float(np.mean(quality)) if quality else 0.0


def _by_group(judged: Sequence[Judged]) -> list[tuple[int, Array]]:
    """(fold, mean AUCs) of each group."""
    groups: dict[tuple[int, int], list[Array]] = {}
    for j in judged:
        groups.setdefault((j.fold, j.group), []).append(j.aucs)
    return [(fold, np.mean(aucs, axis=0)) for (fold, _), aucs in groups.items()]


def falls_behind(judged: Sequence[Judged]) -> bool:
    """Whether a network is behind the closed form on episodes of one fold and regime."""
    gains = [aucs[1] - aucs[0] for _, aucs in _by_group(judged)]
    return bool(np.mean(gains) < 0)


def _approved(means: Sequence[tuple[int, Array]]) -> bool:
    if len(means) < LEAST_GROUPS:
        return False
    folds = np.array([fold for fold, _ in means])
    gain = np.array([aucs[1] - aucs[0] for _, aucs in means])
    clear = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(clear and all(gain[folds == fold].mean() >= 0 for fold in set(folds)))

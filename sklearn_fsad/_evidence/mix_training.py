"""Train the weights of evidence on episodes, and compare them on held-out tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._stats.ranking import clearly_better, column_aucs
from .._training.batches import CollateOnce, EpisodeDataset
from .._training.held_out import (
    REGIMES,
    HeldOutEpisode,
    HeldOutReport,
    gain_error,
    group_means,
)
from .._training.loop import train_episodic
from .._training.losses import PairwiseLoss
from .._training.optimizers import LBFGS
from .._training.progress import phase, phases
from .._training.settings import TrainingSettings
from .._typing import Array
from ..tasks._episodes import Episode
from .episodes import Observation, typical_spread
from .kinds import Evidence
from .mix import CLOSED_FORM, MIX, SINGLE, EvidenceMix

MIX_EPOCHS = 4
_COST = 0.07  # of an episode in an epoch
_CHOICE = "evidence weights"
_OPTIMIZER = {  # each epoch takes so many steps on the same episodes
    "optimizer": LBFGS,
    "optimizer__max_iter": 5,
    "optimizer__line_search_fn": "strong_wolfe",
}


@dataclass(frozen=True)
class LearnedMix:
    """Hold a trained mix and its held-out comparison.

    Attributes
    ----------
    theta : ndarray of shape (3, n_evidence)
    typical_spread : ndarray of shape (2, n_evidence)
    choice : tuple of two int
        What held-out tasks favour without and with labelled anomalies.
    reports : list of HeldOutReport
        In each regime the mix, the closed form and the best single kind of evidence.
    history : list of dict
        Loss of each epoch.
    theta_without : dict of int to ndarray
        Weights learned without a fold.
    """

    theta: Array
    typical_spread: Array
    choice: tuple[int, int]
    reports: list[HeldOutReport]
    history: list[dict[str, float]]
    theta_without: dict[int, Array]

    def arrays(self) -> dict[str, Array]:
        """Return named arrays for a :class:`MetaState`."""
        choice = np.array(self.choice)
        return {"theta": self.theta, "typical_spread": self.typical_spread, "choice": choice}

    def info(self) -> dict[str, Any]:
        """Return the info of a :class:`MetaState`."""
        return {"held_out": [r.to_info() for r in self.reports], "history": self.history}


def work_of_mix(n_episodes: int, n_epochs: int, n_folds: int) -> float:
    """Return the work of :func:`learn_mix`: as much as a training on all tasks for each fold."""
    return _COST * n_episodes * n_epochs * n_folds


def learn_mix(
    observations: Sequence[Observation],
    evidence: Sequence[Evidence],
    new_mix: Callable[..., EvidenceMix],
    settings: TrainingSettings,
) -> LearnedMix:
    """Train a mix on all tasks, and decide on held-out ones whether to use it.

    Parameters
    ----------
    observations : sequence of Observation
    evidence : sequence of Evidence
    new_mix : callable
        Makes an untrained mix; takes ``choice``.
    settings : TrainingSettings
        Each step takes all episodes, whatever the batch size. Without an optimiser in them L-BFGS
        is used, for which a rate of 1 is right.
    """
    folds = np.array([o.fold for o in observations])
    typical = typical_spread(observations, evidence)
    episodes = [o.episode(typical) for o in observations]

    settings = replace(settings, dtype=torch.float64)
    usual = {} if "optimizer" in settings.skorch else _OPTIMIZER
    settings = settings.with_defaults(criterion=PairwiseLoss, **usual)

    def trained(
        keep: NDArray[np.bool_], how: TrainingSettings
    ) -> tuple[EvidenceMix, list[dict[str, float]]]:
        part = [e for e, kept in zip(episodes, keep, strict=True) if kept]
        data = EpisodeDataset(lambda epoch, index: part[index], len(part))
        how = how.with_defaults(iterator_train__collate_fn=CollateOnce(how.dtype))
        return train_episodic(new_mix(), data, None, replace(how, batch_size=len(part)))

    with phase("evidence weights", _COST):
        mix, history = trained(np.ones(len(folds), dtype=bool), settings)
    held_out: list[HeldOutEpisode] = []
    theta_without = {}
    if len(set(folds)) > 1:
        for fold in phases(sorted(set(folds)), "evidence weights, held-out tasks, fold", _COST):
            candidate, _ = trained(folds != fold, settings.for_held_out())
            theta = theta_without[int(fold)] = candidate.theta.detach().numpy()
            options = [new_mix(theta=theta, choice=(o, o)) for o in (MIX, CLOSED_FORM)]
            for e, o in zip(episodes, observations, strict=True):
                if o.fold == fold and 0 < (e.query_y == 1).sum() < len(e.query_y):
                    regime = int((e.support_y == 1).any())
                    aucs = _aucs_of_options(e, options)
                    held_out.append(HeldOutEpisode(o.group, regime, aucs, fold=o.fold))
    used, reports = zip(
        *(_choose(regime, held_out, evidence) for regime in range(len(REGIMES))), strict=True
    )
    theta = mix.theta.detach().numpy()
    return LearnedMix(theta, typical, used, list(reports), history, theta_without)


def _aucs_of_options(episode: Episode, options: Sequence[EvidenceMix]) -> Array:
    """Compute ROC AUCs of the mix, default weights and each kind of evidence: (2 + n_evidence,)."""
    weights = np.array([o.weights(episode.support_X, episode.support_y) for o in options])
    scores = np.concatenate([episode.query_X @ weights.T, episode.query_X], axis=1)
    return column_aucs(scores, episode.query_y == 1)


def _choose(
    regime: int, held_out: Sequence[HeldOutEpisode], evidence: Sequence[Evidence]
) -> tuple[int, HeldOutReport]:
    """Choose the mix, unless another option is clearly better on held-out tasks.

    Clearly means by more than one standard error over at least three groups of sibling tasks: the
    best of a dozen options looks better than it is. Evidence that needs labels never stands alone,
    since it would be blind to anomalies unlike the labelled ones.
    """
    _, aucs = group_means([e for e in held_out if e.regime == regime])
    if len(aucs) < 2:
        return CLOSED_FORM, HeldOutReport(_CHOICE, REGIMES[regime], "closed form", {})
    means = aucs.mean(axis=0)  # (2 + n_evidence,)
    label_free = [SINGLE + j for j, e in enumerate(evidence) if not e.needs_anomalies]
    single = max(label_free, key=means.__getitem__) if label_free else CLOSED_FORM
    other = max(CLOSED_FORM, single, key=means.__getitem__)
    names = {MIX: "mix", CLOSED_FORM: "closed form"}
    if single != CLOSED_FORM:
        names[single] = evidence[single - SINGLE].name
    best = other if clearly_better(aucs[:, other] - aucs[:, MIX]) else MIX
    roc_auc = {names[option]: float(means[option]) for option in names}
    gains = aucs[:, best] - aucs[:, CLOSED_FORM]
    error = None if best == CLOSED_FORM else gain_error(gains)
    report = HeldOutReport(_CHOICE, REGIMES[regime], names[best], roc_auc, standard_error=error)
    return best, report

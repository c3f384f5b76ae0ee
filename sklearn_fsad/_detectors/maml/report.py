"""Report how gradient steps changed the loss of a support and the scores of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ..._input.labels import ANOMALOUS
from ..._training.layers import aligned
from ..._training.usual_torch import usual_torch
from ..._typing import Array
from ..._warn import warn
from ...exceptions import AdaptationWarning
from ..base.adaptation import Adaptation
from .ensemble import NetworkEnsemble, scores_after
from .held_out import permuted_labels

_NO_CHANGE = 0.02  # of a rank correlation


def adaptation_report(adapted: Adaptation) -> dict[str, Any]:
    """Report the support loss at each step, and the change of scores by other adaptations."""
    if not isinstance(adapted.module, NetworkEnsemble) or not adapted.values["size"]:
        return {"used": "closed form"}
    with usual_torch():
        scores = adapted.score_represented(adapted.representation.support)
        changes = {name: _change(scores, other) for name, other in _other_scores(adapted).items()}
    return {
        "used": "network",
        "size": float(adapted.values["size"]),
        "support_loss": [float(loss) for loss in adapted.values["losses"]],
        "score_change": changes,
    }


def adaptation_advice(report: dict[str, Any]) -> list[str]:
    """Advise, in words, what to try after a report."""
    if report["used"] == "closed form":
        return [
            "The default formula scores, not a network: there was no meta_fit, or only one group "
            "of tasks. state_.info['held_out'] holds the results on held-out tasks, if any."
        ]
    advice, losses = [], report["support_loss"]
    if losses[-1] > losses[0]:
        advice.append(
            f"Adapting made the loss on the training rows worse, {losses[0]:.3g} before and "
            f"{losses[-1]:.3g} after: try a smaller inner_lr or fewer steps."
        )
    if max(report["score_change"].values()) < _NO_CHANGE:
        advice.append(
            "The training rows hardly change the scores: the network has memorised past tasks. "
            "Try augment=True or more training tasks."
        )
    return advice


def _change(scores: Array, other: Array) -> float:
    """Compute one minus the rank correlation; 0 if both are constant, 1 if one of them is."""
    if np.ptp(scores) == 0.0 or np.ptp(other) == 0.0:
        return float(np.ptp(scores) != np.ptp(other))
    return float(1.0 - spearmanr(scores, other).statistic)


def _other_scores(adapted: Adaptation) -> dict[str, Array]:
    """Score the support without steps, and after steps on another support or other labels."""
    X, y = adapted.representation.support, adapted.representation.support_y
    rng = np.random.default_rng(0)
    n_features = adapted.module.learner.n_features
    order, sign = rng.permutation(n_features), rng.choice([-1.0, 1.0], n_features)
    swapped = X.copy()
    swapped[:, :n_features] = X[:, order] * sign
    scores = {
        "not adapted": adapted.module.score_unadapted(adapted.tensors, aligned(X)).numpy(),
        "swapped support": scores_after(adapted, y[None], swapped)[0],
    }
    if (y == ANOMALOUS).any():
        scores["permuted labels"] = scores_after(adapted, permuted_labels(y)[None])[0]
    return scores


def warn_if_worse(adapted: Adaptation, n_steps: int) -> None:
    """Warn if the steps have raised the loss on the training rows, where networks are used."""
    losses = adapted.values.get("losses", [0.0])
    if adapted.values.get("size") and losses[-1] > losses[0]:
        warn(
            f"Adaptation made the loss on the training rows worse: {losses[0]:.4g} before, "
            f"{losses[-1]:.4g} after {n_steps} steps. See adaptation_report_; a smaller inner_lr "
            "or other training tasks may help.",
            AdaptationWarning,
        )

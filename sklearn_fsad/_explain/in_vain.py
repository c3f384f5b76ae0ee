"""Tell from a meta-learned state whether what was trained is used at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._state import MetaState
from .._training.held_out import REGIMES

_UNTRAINED = {"closed form", "before"}  # options that need no training, as states name them
_SIZES = ("sizes", "use")  # arrays that say for each regime how much of a network is used
_SWITCHES = (*_SIZES, "departs")  # arrays whose last axis says for each regime what training counts


def trained_in_vain(state: MetaState) -> tuple[bool, bool]:
    """Return whether nothing that was trained is used without, and with, labelled anomalies.

    A detector then scores by its default formula, or the weights that ``meta_fit`` started from.
    """
    for name in _SWITCHES:
        if name in state.arrays:
            by_regime = np.reshape(state.arrays[name], (-1, 2))
            unlabelled, labelled = bool(by_regime[:, 0].any()), bool(by_regime[:, 1].any())
            if name in _SIZES or not (unlabelled and labelled):
                return not unlabelled, not labelled
    held_out = state.info.get("held_out", ())
    without, with_anomalies = (_is_untrained(held_out, regime) for regime in REGIMES)
    # what was compared on one kind of support alone decides for both
    return (
        bool(with_anomalies if without is None else without),
        bool(without if with_anomalies is None else with_anomalies),
    )


def _is_untrained(held_out: Sequence[Mapping[str, Any]], regime: str) -> bool | None:
    """Return whether an option without training is used; None where none was compared."""
    used = [
        entry["used"] in _UNTRAINED
        for entry in held_out
        if entry["regime"] == regime and _UNTRAINED & {entry["used"], *entry["roc_auc"]}
    ]
    return all(used) if used else None

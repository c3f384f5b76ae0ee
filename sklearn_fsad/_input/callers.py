"""Find scikit-learn's tools among the callers: some number labels anew, some need a classifier."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

_THRESHOLDS = "sklearn.model_selection._classification_threshold"
_CALIBRATION = "sklearn.calibration"
_SEARCH = "sklearn.model_selection._validation"
_WRAPPER = "sklearn_fsad.adapters._to_classifier"


def renumbering_tool() -> tuple[str, Sequence[Any]] | None:
    """Find a tool that has replaced two other labels by 0 and 1; return its name and the labels.

    Only a tool that runs in this process is found.
    """
    for frame in _callers():
        if not _module(frame).startswith("sklearn."):
            continue
        encoder, owner = frame.f_locals.get("le"), frame.f_locals.get("self")
        for holder, name in ((encoder, frame.f_code.co_name), (owner, type(owner).__name__)):
            classes = getattr(holder, "__dict__", {}).get("classes_")
            if classes is not None and len(classes) == 2 and not set(classes) <= {0, 1}:
                return name, list(classes)
    return None


def refuse_tools_for_classifiers(anomaly_is_larger: bool) -> None:
    """Refuse to score for a tool that would read scores and probabilities as a classifier's.

    Parameters
    ----------
    anomaly_is_larger : bool
        Whether the label of the anomalies is the second of the two sorted ones: a classifier's
        ``decision_function`` is larger for that one, a detector's for normal rows.
    """
    for frame in _callers():
        module = _module(frame)
        if module == _WRAPPER:
            return
        by_order = anomaly_is_larger and module == _CALIBRATION and _method(frame) != "sigmoid"
        if module == _THRESHOLDS or by_order:
            tool = "CalibratedClassifierCV" if by_order else "A tool that moves thresholds"
            raise ValueError(
                f"{tool} needs a classifier, and an outlier detector is none: wrap it, "
                "sklearn_fsad.AnomalyClassifier(detector)."
            )


def searched_parameters() -> Sequence[str]:
    """List the parameters, without prefixes, that a search among several candidates has set."""
    for frame in _callers():
        if _module(frame) == _SEARCH and frame.f_code.co_name == "_fit_and_score":
            _, n_candidates = frame.f_locals.get("candidate_progress") or (0, 0)
            names = frame.f_locals.get("parameters") or ()
            return [name.rpartition("__")[2] for name in names if n_candidates > 1]
    return ()


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _method(frame: FrameType) -> Any:
    """Return how a calibration in progress maps scores, by its own arguments."""
    owner = frame.f_locals.get("self")
    return frame.f_locals.get("method", getattr(owner, "method", "sigmoid"))

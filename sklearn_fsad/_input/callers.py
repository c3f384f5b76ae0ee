"""Find scikit-learn's tools among the callers: some number labels anew, some need a classifier."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from sklearn.frozen import FrozenEstimator

from .._warn import warn
from ..exceptions import LabelConventionWarning

_THRESHOLDS = "sklearn.model_selection._classification_threshold"
_CALIBRATION = "sklearn.calibration"
_MULTICLASS = "sklearn.multiclass"
_SEARCH = "sklearn.model_selection._validation"
_WRAPPER = "sklearn_fsad.adapters._to_classifier"
_UNSEEN_BY_RANKS = {"threshold", "alpha", "contamination"}


def renumbering_tool() -> tuple[str, Sequence[Any]] | None:
    """Find a tool that has replaced two other labels by 0 and 1; return its name and the labels.

    Only a tool that runs in this process is found.
    """
    for name, classes, _ in _tools():
        if not set(classes) <= {0, 1}:
            return name, classes
    return None


def refuse_tools_for_classifiers(decides: bool, anomaly_is_larger: bool) -> None:
    """Refuse to score for a tool that would read scores and probabilities as a classifier's.

    Parameters
    ----------
    decides : bool
        Whether it asks for ``decision_function``, not for probabilities.
    anomaly_is_larger : bool
        Whether the label of the anomalies is the second of the two sorted ones: a classifier's
        ``decision_function`` is larger for that one, a detector's for normal rows.
    """
    for frame in _callers():
        module = _module(frame)
        if module == _WRAPPER:
            return
        by_order = module == _MULTICLASS and decides
        if module == _CALIBRATION and decides and _method(frame) != "sigmoid":
            classes = _classes_of(frame)
            by_order = anomaly_is_larger if classes is None else set(classes) <= {0, 1}
        if module == _THRESHOLDS or by_order:
            raise ValueError(
                f"{module} reads an outlier detector as a classifier, whose scores are larger for "
                "the second class: wrap it, sklearn_fsad.AnomalyClassifier(detector)."
            )


def warn_if_search_ties() -> None:
    """Warn if a search in progress compares candidates that a ranking cannot tell apart.

    It is told for the first candidate and split alone.
    """
    names = _tied_parameters()
    if names:
        warn(
            f"The score ranks rows, which does not depend on {', '.join(names)}: candidates of "
            "this search that differ in nothing else tie, and the first is chosen. Pass a scorer "
            'that evaluates predict, such as scoring=anomaly_scorer("f1").'
        )


def warn_if_columns_differ(classes: Sequence[Any]) -> None:
    """Warn if a tool has other labels for the columns of probabilities than these.

    A detector that was fitted by the tool may have 0 and 1; a frozen one was fitted before.
    """
    for name, of_tool, frozen in _tools():
        if list(of_tool) != list(classes) and (frozen or list(classes) != [0, 1]):
            warn(
                f"{name} has the labels {of_tool[0]} and {of_tool[1]} for the columns of "
                f"predict_proba, and this detector was fitted with {classes[0]} and {classes[1]}: "
                "fit it with the labels of the tool.",
                LabelConventionWarning,
            )
            return


def _tied_parameters() -> Sequence[str]:
    for frame in _callers():
        if _module(frame) == _SEARCH and frame.f_code.co_name == "_fit_and_score":
            position, n_candidates = frame.f_locals.get("candidate_progress") or (0, 0)
            split, _ = frame.f_locals.get("split_progress") or (0, 0)
            if position or split or n_candidates < 2:
                return ()
            own = frame.f_locals.get("parameters") or {}
            return _tied(_candidates() or [own, own])
    return ()


def _tied(candidates: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    seen: dict[str, Mapping[str, Any]] = {}
    for candidate in candidates:
        unseen = {k: v for k, v in candidate.items() if k.rpartition("__")[2] in _UNSEEN_BY_RANKS}
        rest = repr(sorted((k, repr(v)) for k, v in candidate.items() if k not in unseen))
        if rest in seen and unseen:
            return sorted(name.rpartition("__")[2] for name in {*unseen, *seen[rest]})
        seen[rest] = unseen
    return ()


def _candidates() -> Sequence[Mapping[str, Any]] | None:
    for frame in _callers():
        if frame.f_code.co_name == "evaluate_candidates":
            found: Sequence[Mapping[str, Any]] | None = frame.f_locals.get("candidate_params")
            return found
    return None


def _tools() -> Iterator[tuple[str, Sequence[Any], bool]]:
    """Yield name and labels of the tools of scikit-learn, and whether they hold a frozen one."""
    for frame in _callers():
        if not _module(frame).startswith("sklearn."):
            continue
        encoder, owner = frame.f_locals.get("le"), frame.f_locals.get("self")
        frozen = isinstance(frame.f_locals.get("estimator"), FrozenEstimator)
        for holder, name in ((encoder, frame.f_code.co_name), (owner, type(owner).__name__)):
            classes = getattr(holder, "__dict__", {}).get("classes_")
            if classes is not None and len(classes) == 2:
                yield name, list(classes), frozen


def _classes_of(frame: FrameType) -> Sequence[Any] | None:
    """Return the labels of a calibration in progress."""
    owner = frame.f_locals.get("self")
    classes = frame.f_locals.get("classes", getattr(owner, "__dict__", {}).get("classes_"))
    return None if classes is None else list(classes)


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

"""Tell which label marks the anomalies: by convention, by the type, by context or by the user."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Iterable
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Mask
from .._warn import warn
from ..exceptions import LabelConventionWarning
from .callers import renumbering_tool

Coding = tuple[Any, Any]  # label of normal rows, label of anomalies
SIGNED: Coding = (1, -1)  # as in scikit-learn
BINARY: Coding = (0, 1)  # as in PyOD
BOOLEAN: Coding = (False, True)
HELP = (
    "Accepted with outlier_label='auto': None; {1 inlier, -1 outlier} as in scikit-learn; "
    "{0 inlier, 1 outlier} or booleans as in PyOD; NaN or None in either marks an unlabelled row. "
    "For any other coding pass outlier_label=<the label of the anomalies>."
)


def is_auto(outlier_label: Any) -> bool:
    """Tell whether the coding is to be read from the labels."""
    return isinstance(outlier_label, str) and outlier_label == "auto"


def is_missing(value: Any) -> bool:
    """Tell whether a label is missing: None, NaN or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Real) and value != value


def agreed(codings: Iterable[Coding | None]) -> Coding | None:
    """Return the one coding that occurs among some; None where there is none, or several."""
    found = {coding for coding in codings if coding is not None}
    return found.pop() if len(found) == 1 else None


# --- outlier_label="auto" -------------------------------------------------------------------------
def coding_by_convention(
    values: NDArray[Any],
    missing: Mask,
    numeric: NDArray[np.float64],
    known: Coding | None,
    quiet: bool = False,
) -> Coding | None:
    """Read the coding of numbers or booleans by their type, by context, or by convention.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Labels.
    missing : ndarray of shape (n,), dtype bool
        Which of them are missing.
    numeric : ndarray of shape (n,)
        The labels as numbers.
    known : (normal, anomalous) or None
        Coding of other labels: decides where these are some of its two labels.
    quiet : bool, default=False
        Return None where only a guess would tell, without a warning.
    """
    if _are_booleans(values, missing):
        return BOOLEAN
    found = np.unique(numeric[~missing])
    distinct = set(found.tolist())
    if not distinct:
        return known
    if known is not None and distinct <= set(known):
        return known
    _refuse_three_meanings(found)
    if distinct == {1.0}:
        return None if quiet else _guess_of_ones(bool(missing.any()))
    if distinct <= {-1.0, 1.0}:
        return SIGNED
    if distinct <= {0.0, 1.0}:
        if not quiet:
            _warn_if_renumbered()
        return BINARY
    if len(distinct) == 2 and all(label.is_integer() for label in distinct):
        return _larger(int(found[0]), int(found[1]), quiet)
    shown = ", ".join(f"{v:g}" for v in found[:6]) + (", ..." if len(found) > 6 else "")
    raise ValueError(f"Unknown label type: y holds {shown}. {HELP}")


def _are_booleans(values: NDArray[Any], missing: Mask) -> bool:
    if values.dtype.kind == "O":
        labels = values[~missing]
        return len(labels) > 0 and all(isinstance(v, (bool, np.bool_)) for v in labels)
    return values.dtype.kind == "b"


def _refuse_three_meanings(found: NDArray[np.float64]) -> None:
    if {-1.0, 0.0} <= set(found) <= {-1.0, 0.0, 1.0}:
        held = ", ".join(f"{label:g}" for label in found)
        raise ValueError(
            f"Ambiguous y: it holds {held}; libraries give three different meanings to -1, 0, 1. "
            f"Mark unlabelled rows with NaN. {HELP}"
        )


def _guess_of_ones(has_unlabelled: bool) -> Coding:
    if has_unlabelled:
        raise ValueError(
            "Ambiguous y: every labelled row is 1 and other rows are unlabelled, and 1 means "
            "inlier in scikit-learn but outlier in PyOD. Pass outlier_label=1 or "
            "outlier_label=-1."
        )
    warn(
        "y holds only 1: read as inliers of scikit-learn's coding, no labelled anomalies.",
        LabelConventionWarning,
    )
    return SIGNED


def _larger(smaller: int, larger: int, quiet: bool) -> Coding:
    if not quiet:
        warn(
            f"y holds {smaller} and {larger}, neither coding of anomalies; the larger one, "
            f"{larger}, is taken as the anomaly. Pass outlier_label to be explicit.",
            LabelConventionWarning,
        )
    return smaller, larger


def _warn_if_renumbered() -> None:
    tool = renumbering_tool()
    if tool is not None:
        name, classes = tool
        warn(
            f"{name} has replaced the labels {classes[0]} and {classes[1]} by 0 and 1, and 1 "
            "is read as the anomaly. Give it y with 1 for the anomalies and 0 for normal rows.",
            LabelConventionWarning,
        )


# --- outlier_label=<label or labels> --------------------------------------------------------------
def is_one_of(values: NDArray[Any], missing: Mask, outlier_label: Any) -> Mask:
    """Tell which labels mark anomalies, by the label or labels that the user gives: (n,)."""
    wanted = _labels_of(outlier_label)
    present = values[~missing]
    others = _distinct(present)
    _refuse_other_type(others, wanted, outlier_label)
    _warn_if_label_was_renumbered(wanted)
    anomalous = np.zeros(len(values), dtype=bool)
    if values.dtype.kind in "biuf":
        anomalous = np.isin(values, wanted)
    else:
        anomalous[~missing] = [any(v == label for label in wanted) for v in present]
    if not anomalous.any() and len(others) >= 2:
        shown = ", ".join(repr(_plain(v)) for v in others[:6])
        if {_plain(v) for v in others} == {0, 1}:
            raise ValueError(
                f"outlier_label={outlier_label!r} does not occur in y, which holds 0 and 1: tools "
                "such as cross_val_predict, BaggingClassifier and CalibratedClassifierCV number "
                "labels anew. Give these y with 1 for the anomalies and 0 for normal rows, and "
                "outlier_label=1."
            )
        warn(
            f"outlier_label={outlier_label!r} does not occur in y, which holds {shown}.",
            LabelConventionWarning,
        )
    return anomalous


def _warn_if_label_was_renumbered(wanted: Collection[Any]) -> None:
    """Warn if a tool has given another label the number that marks the anomalies."""
    tool = renumbering_tool()
    if tool is None:
        return
    name, classes = tool
    known = [_plain(label) for label in classes]
    moved = [v for v in wanted if v in (0, 1) and v in known and known.index(v) != v]
    if moved:
        warn(
            f"{name} has replaced the labels {classes[0]} and {classes[1]} by 0 and 1: "
            f"outlier_label={moved[0]} is another label now. Give it y with 1 for the anomalies "
            "and 0 for normal rows, and outlier_label=1.",
            LabelConventionWarning,
        )


def coding_by_label(
    values: NDArray[Any], missing: Mask, anomalous: Mask, outlier_label: Any
) -> Coding | None:
    """Return the two labels where normal rows have one and anomalies have one, else None."""
    normal = _distinct(values[~missing & ~anomalous])
    found = _distinct(values[~missing & anomalous]) or _labels_of(outlier_label)
    if len(normal) != 1 or len(found) != 1 or _kind(normal[0]) != _kind(found[0]):
        return None
    return _plain(normal[0]), _plain(found[0])


def _labels_of(outlier_label: Any) -> list[Any]:
    told = _unboxed(outlier_label)
    many = isinstance(told, Collection) and not isinstance(told, (str, bytes))
    labels = [_unboxed(label) for label in told] if many else [told]
    if not labels or any(is_missing(label) for label in labels):
        raise ValueError(
            f"outlier_label={outlier_label!r} must be 'auto', the label of the anomalies, or a "
            "list of such labels."
        )
    return labels


def _unboxed(label: Any) -> Any:
    """Read labels in a tensor, an array or a series as Python's: a list, or one of no dimension."""
    if hasattr(label, "detach"):
        return label.detach().cpu().tolist()
    if isinstance(label, np.ndarray) or hasattr(label, "to_numpy"):
        values = np.asarray(label)
        return values.ravel().tolist() if values.ndim else values.item()
    return label


def _distinct(values: NDArray[Any]) -> list[Any]:
    """List the different labels, sorted as numbers or as text."""
    if values.dtype.kind in "biufU":
        return list(np.unique(values))
    return sorted(dict.fromkeys(values), key=repr)


def _refuse_other_type(found: Collection[Any], wanted: Collection[Any], outlier_label: Any) -> None:
    kinds = {_kind(v) for v in found}
    if kinds and not all(_kind(label) in kinds for label in wanted):
        shown = ", ".join(repr(_plain(v)) for v in list(found)[:6])
        raise ValueError(
            f"outlier_label={outlier_label!r} is of another type than y, which holds {shown}. Pass "
            "one of these; where a tool such as cross_val_predict or BaggingClassifier has "
            "replaced the labels, give it y with 1 for the anomalies and 0 for normal rows, "
            "and outlier_label=1."
        )


def _kind(label: Any) -> str:
    if isinstance(label, (numbers.Number, np.bool_)):
        return "number"
    if isinstance(label, (np.datetime64, date)):
        return "time"
    if isinstance(label, bytes):
        return "bytes"
    return "text" if isinstance(label, str) else type(label).__name__


def _plain(label: Any) -> Any:
    """Convert a scalar of numpy to Python's."""
    return label.item() if isinstance(label, np.generic) and _kind(label) != "time" else label

"""Describe once the parameters and attributes that all detectors share."""

from __future__ import annotations

import re
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar

T = TypeVar("T", bound=type)

_TEXTS = """
n_normal, n_anomalous : tuple of (int, int), default=(5, 50) and (0, 10)
    Lowest and highest number of shots in a training episode.
n_query : int, default=60
    Rows to score in a training episode (the query), half of them anomalous where the task has that
    many.
support_contamination : float in [0, 0.5], default=0.0
    Robust meta-training: highest share of hidden anomalies among the normal shots of a training
    episode; each episode draws its own share. Try 0.2 if nobody checks the rows given to ``fit``.
threshold : {"auto", "conformal", "f1"}, callable or PyThresh object, default="auto"
    How the threshold is chosen from the leave-one-out scores of the training rows, if
    ``contamination="auto"``; see :mod:`sklearn_fsad.thresholds`.
alpha : float, default=0.05
    Rate of false alarms to aim at: the share of normal rows that are flagged.
contamination : "auto" or float in (0, 0.5], default="auto"
    A number flags that share of the rows given to ``fit``, as in scikit-learn, by their
    leave-one-out scores. With "auto", ``threshold`` and ``alpha`` decide.
outlier_label : "auto", number or str, default="auto"
    Label of the anomalies; "auto" accepts the codings of scikit-learn and PyOD.
categorical_features : "from_dtype", array-like or None, default="from_dtype"
    Columns of categories, whose values are compared by equality and by how rare they are: those of
    a frame that hold categories, text that is no number, or truth values; or a mask, positions or
    names of all such columns. Whole numbers are positions, also where the names of columns are
    numbers. None means that all columns are numbers.
clean_support : bool or "all", default=False
    Whether to leave out suspicious training rows: normal rows with a high anomaly score given the
    other rows, see ``support_kept_``. "all" also leaves out labelled anomalies that score like
    normal rows.
max_context : int, default=2000
    Largest number of normal rows in the context, the rows that the method learns from and compares
    with. If ``fit`` is given more, a random sample is used, the same for any order of the rows,
    with a warning. Up to 10,000 of the other normal rows still set the threshold. All labelled
    anomalies are kept, up to 5000.
pretrained : MetaState, str or path, default=None
    Meta-learned state of this class or of a parent class; ``meta_fit`` sets it.
device : str, default="cpu"
    Where the network trains.
net_params : dict, default=None
    More settings of the skorch net that trains, such as ``{"optimizer__weight_decay": 0.1}``; they
    override parameters of the same names. ``{"accelerator": accelerate.Accelerator}`` lets several
    processes share ``meta_fit``.
callbacks : list, default=None
    skorch callbacks of the training; cloned, never changed. Most trainings have no validation loss:
    use ``EarlyStopping(monitor="train_loss")``.
verbose : int, default=None
    Progress bar of ``meta_fit`` and ``fit``: 0 shows none, 1 shows it at once, None shows it after
    five seconds, only in notebooks and terminals. The logger ``logging.getLogger("sklearn_fsad")``
    reports the phases and the results on held-out tasks.
random_state : int, RandomState or None, default=None
    Seed of everything random.
offset_ : float
    ``decision_function = score_samples - offset_``.
state_ : MetaState
    The meta-learned state that ``fit`` started from.
support_X_ : ndarray of shape (n_support, n_features)
    Training rows: the rows given to ``fit``, also called the support.
support_y_ : ndarray of shape (n_support,)
    Their labels: 0 normal, 1 anomalous, -1 unlabelled.
support_kept_ : ndarray of shape (n_support,), dtype bool
    Training rows that were learned from: all but those that ``clean_support`` or ``sample_weight``
    left out. Rows that ``max_context`` left out may be unchecked and are then True here.
n_features_in_ : int
    Number of features.
feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the features, where ``fit`` saw any.
"""
_ENTRIES = {
    re.split(r"[ ,]", entry, maxsplit=1)[0]: entry.rstrip()
    for entry in re.split(r"\n(?=\S)", _TEXTS.strip("\n"))
}


def with_shared_parameters(cls: T) -> T:
    """Replace each line ``{name}`` of a class docstring by the shared description."""

    def described(line: re.Match[str]) -> str:
        return "\n".join("    " + part for part in _ENTRIES[line[1]].splitlines())

    if cls.__doc__ is not None:  # python -OO drops it
        cls.__doc__ = re.sub(r"^    \{(\w+)\}$", described, cls.__doc__, flags=re.MULTILINE)
    return cls


def spell_out_shared(cls: type) -> None:
    """Put the parameters of the base in place of ``**shared`` in the signature of a constructor.

    scikit-learn reads the names of parameters from that signature.
    """
    constructor: Any = vars(cls).get("__init__")
    if constructor is None:
        return
    *own, last = signature(constructor).parameters.values()
    if last.kind == Parameter.VAR_KEYWORD:
        known = {parameter.name for parameter in own}
        base = next(c for c in cls.__mro__[1:] if "__init__" in vars(c))  # no mixin
        of_base: Any = base.__init__  # type: ignore[misc]  # of the class, not an object
        shared = [p for p in signature(of_base).parameters.values() if p.name not in known]
        constructor.__signature__ = Signature([*own, *shared])

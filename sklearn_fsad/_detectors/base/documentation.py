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
    Query rows of a training episode, half of them anomalous where the task has that many.
support_contamination : float in [0, 0.5], default=0.0
    Robust meta-training: highest share of anomalies among the normal shots of a training
    episode, each of which draws its own share. Try 0.2 where supports are not inspected.
threshold : {"auto", "conformal", "f1"}, callable or PyThresh object, default="auto"
    How leave-one-out scores of the support become the threshold, where
    ``contamination="auto"``; see :mod:`sklearn_fsad.thresholds`.
alpha : float, default=0.05
    Rate of false alarms that the threshold aims at.
contamination : "auto" or float in (0, 0.5], default="auto"
    A number flags that share of the rows given to ``fit``, as in scikit-learn, by their
    leave-one-out scores. For a rate of false alarms keep "auto".
outlier_label : "auto", number or str, default="auto"
    Label of the anomalies; "auto" reads the codings of scikit-learn and PyOD.
clean_support : bool or "all", default=False
    Whether to doubt the normal rows of the support: those to which the others give high anomaly
    scores are not learned from, see ``support_kept_``. "all" also doubts labelled anomalies with
    the scores of normal rows; else they stay.
max_context : int, default=2000
    Most normal rows in the context: those that rows are compared with and that the method learns
    from. Of more, a random part is taken, the same for any order of the rows, and a warning says
    so; of other normals given to ``fit`` up to 10,000 still set the threshold. All labelled
    anomalies are kept, up to 5000.
pretrained : MetaState, str or path, default=None
    Meta-learned state of this class, or of one that it is derived from; ``meta_fit`` sets it.
device : str, default="cpu"
    Where the network trains.
net_params : dict, default=None
    More settings of the skorch net that trains, such as ``{"optimizer__weight_decay": 0.1}``,
    which come before the parameters of the same names.
    ``{"accelerator": accelerate.Accelerator}`` lets processes share ``meta_fit``.
callbacks : list, default=None
    skorch callbacks of the training; cloned, never changed. Most trainings have no validation
    episodes: ``EarlyStopping(monitor="train_loss")``.
verbose : int, default=None
    A bar tells the progress of ``meta_fit`` and ``fit``: 0 shows none, 1 shows it at once. None
    shows it after five seconds, in notebooks and terminals alone. The same and what held-out tasks
    decided is logged by ``logging.getLogger("sklearn_fsad")``.
random_state : int, RandomState or None, default=None
    Seed of everything random.
offset_ : float
    ``decision_function = score_samples - offset_``.
state_ : MetaState
    The state that ``fit`` adapted.
support_X_ : ndarray of shape (n_support, n_features)
    Support rows.
support_y_ : ndarray of shape (n_support,)
    Their labels: 0 normal, 1 anomalous, -1 unlabelled.
support_kept_ : ndarray of shape (n_support,), dtype bool
    Rows that were learned from: all but those that ``clean_support`` doubts. Those that
    ``max_context`` leaves out are not judged, and True here.
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

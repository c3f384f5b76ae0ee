"""Warnings and errors of the package: each says what was wrong and what to do instead."""

from __future__ import annotations

from sklearn.exceptions import InconsistentVersionWarning as _OfScikitLearn

__all__ = [
    "AdaptationWarning",
    "FarTaskWarning",
    "FetchError",
    "InconsistentVersionWarning",
    "InterruptedWarning",
    "LabelConventionWarning",
    "MetaTrainingDivergedError",
    "TaskWarning",
    "WeightsError",
]


class AdaptationWarning(UserWarning):
    """A network is no help: the closed form does as well, or adapting to the support harmed."""


class FarTaskWarning(UserWarning):
    """A new task is unlike all training tasks: what was learned from them may not hold for it."""


class InconsistentVersionWarning(_OfScikitLearn):
    """A pickle of a detector was made by another version of the package.

    Its attributes are those of scikit-learn's warning of this name, with versions of this package.
    """

    def __str__(self) -> str:
        return (
            f"Trying to unpickle {self.estimator_name} from version "
            f"{self.original_sklearn_version} of sklearn-fsad when using version "
            f"{self.current_sklearn_version}: it may fail or score otherwise. What meta_fit "
            "learned is read by every later version where it was saved by pretrained.save(path)."
        )


class InterruptedWarning(UserWarning):
    """Meta-training was interrupted: what it had learned by then is kept."""


class LabelConventionWarning(UserWarning):
    """``y`` was readable only by convention; pass ``outlier_label`` to be explicit."""


class TaskWarning(UserWarning):
    """A meta-training task is used in another way than asked for, as with fewer shots."""


class MetaTrainingDivergedError(RuntimeError):
    """The loss of meta-training became infinite or NaN; the estimator keeps its former state."""


class WeightsError(ValueError):
    """A weights file cannot be used; the message names the file and the reason."""


class FetchError(OSError):
    """A data set cannot be fetched; the message tells where to put it by hand."""

"""Define the warnings and errors of the package; messages tell what was wrong and what to do."""

from __future__ import annotations

from typing import Any

from sklearn.exceptions import InconsistentVersionWarning as _OfScikitLearn

__all__ = [
    "AdaptationWarning",
    "DisagreementError",
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
    """Warn that a network does not beat the default weights, or that adaptation raised the loss."""


class FarTaskWarning(UserWarning):
    """Warn that a new task differs from all training tasks, so what was learned may not apply."""


class InconsistentVersionWarning(_OfScikitLearn):
    """Warn that a detector was pickled by another version of the package.

    Its attributes are those of scikit-learn's warning of this name, with versions of this package.

    Parameters
    ----------
    estimator_name : str
        Class of the detector.
    current_sklearn_version : str
        The installed version of sklearn-fsad.
    original_sklearn_version : str
        The version that made the pickle.
    """

    def __str__(self) -> str:
        return (
            f"Trying to unpickle {self.estimator_name} from version "
            f"{self.original_sklearn_version} of sklearn-fsad when using version "
            f"{self.current_sklearn_version}: it may fail or score otherwise. What meta_fit "
            "learned is read by every later version where it was saved by pretrained.save(path)."
        )


class InterruptedWarning(UserWarning):
    """Warn that meta-training was interrupted; the state of the last whole epoch is kept."""


class LabelConventionWarning(UserWarning):
    """Warn that the coding of ``y`` was guessed; pass ``outlier_label`` to be explicit."""


class TaskWarning(UserWarning):
    """Warn that a training task is not used as requested, or probably contains a mistake."""


class MetaTrainingDivergedError(RuntimeError):
    """Report that the training loss became infinite or NaN; the estimator keeps its old state."""


class DisagreementError(ValueError):
    """Report that a distilled detector does not agree well enough with the one it stands for.

    Parameters
    ----------
    message : str
        The figure, and what to do.
    copy : DistilledDetector
        What was refused, kept as an attribute to look at.
    """

    def __init__(self, message: str, copy: object = None) -> None:
        super().__init__(message)
        self.copy: Any = copy


class WeightsError(ValueError):
    """Report that a weights file cannot be used; the message names the file and the reason."""


class FetchError(OSError):
    """Report that a data set cannot be fetched; the message says where to put it by hand."""


def __dir__() -> list[str]:
    return sorted(__all__)

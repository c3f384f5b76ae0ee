"""Few-shot anomaly detection by meta-learning, as scikit-learn estimators.

Importing the package does not import torch: a name is loaded when it is first used.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from ._version import show_versions as show_versions

if TYPE_CHECKING:
    from ._detectors.in_context.detector import InContextDetector as InContextDetector
    from ._detectors.maml.detector import MAMLDetector as MAMLDetector
    from ._detectors.neural_process.detector import NeuralProcessDetector as NeuralProcessDetector
    from ._detectors.prototypes.detector import ProtoNetDetector as ProtoNetDetector
    from ._state import MetaState as MetaState
    from ._training.threads import config_context as config_context
    from .adapters import AnomalyClassifier as AnomalyClassifier
    from .adapters import PyODDetector as PyODDetector
    from .adapters import to_pyod as to_pyod
    from .distillation import DistilledDetector as DistilledDetector
    from .distillation import distil as distil
    from .metrics import anomaly_scorer as anomaly_scorer
    from .model_selection import FewShotSplit as FewShotSplit
    from .model_selection import TaskEstimator as TaskEstimator
    from .pipeline import meta_fit_pipeline as meta_fit_pipeline
    from .series import WindowedDetector as WindowedDetector
    from .tasks import TaskSet as TaskSet

_HOMES = {
    "AnomalyClassifier": "adapters",
    "DistilledDetector": "distillation",
    "FewShotSplit": "model_selection",
    "InContextDetector": "_detectors.in_context.detector",
    "MAMLDetector": "_detectors.maml.detector",
    "MetaState": "_state",
    "NeuralProcessDetector": "_detectors.neural_process.detector",
    "ProtoNetDetector": "_detectors.prototypes.detector",
    "PyODDetector": "adapters",
    "TaskEstimator": "model_selection",
    "TaskSet": "tasks",
    "WindowedDetector": "series",
    "anomaly_scorer": "metrics",
    "config_context": "_training.threads",
    "distil": "distillation",
    "meta_fit_pipeline": "pipeline",
    "to_pyod": "adapters",
}

_SUBMODULES = (
    "adapters",
    "augmentation",
    "base",
    "callbacks",
    "datasets",
    "distillation",
    "evidence",
    "exceptions",
    "metrics",
    "model_selection",
    "pipeline",
    "plotting",
    "prior",
    "series",
    "tasks",
    "thresholds",
)

__all__ = [  # noqa: PLE0604, RUF100
    "AnomalyClassifier",
    "DistilledDetector",
    "FewShotSplit",
    "InContextDetector",
    "MAMLDetector",
    "MetaState",
    "NeuralProcessDetector",
    "ProtoNetDetector",
    "PyODDetector",
    "TaskEstimator",
    "TaskSet",
    "WindowedDetector",
    "anomaly_scorer",
    "config_context",
    "distil",
    "meta_fit_pipeline",
    "show_versions",
    "to_pyod",
]


logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless configured


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES, "__version__"])

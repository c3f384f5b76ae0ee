"""The estimator shell that every detector shares: it never knows which method it serves."""

from __future__ import annotations

import copy
import warnings
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from ..._input.labels import ANOMALOUS, NORMAL, UNLABELLED, encode_labels, known_coding
from ..._input.rows import refuse_huge, validated_rows
from ..._state import MetaState
from ..._stats.scaling import SCALERS
from ..._training.interruption import kept_on_interrupt, warn_of_interruption
from ..._training.settings import TrainingSettings
from ..._typing import Array, Codes
from ...tasks._distance import TaskPlace, TrainingTasks, warn_where_far
from ...tasks._episodes import EpisodeSampler
from ...tasks._task_set import TaskSet
from .adaptation import FittedSupport, is_fitted
from .checks import check_device, check_shots, check_state, own_callback, restored_on_error
from .decisions import Decisions
from .explanations import Explanations
from .probability import CURVE, learn_from_tasks


class BaseFewShotDetector(
    FittedSupport, Decisions, Explanations, OutlierMixin, BaseEstimator, metaclass=ABCMeta
):
    """Base of all detectors: validation, labels, thresholds, blockwise scoring, persistence.

    A method provides its meta-training (:meth:`_meta_train`) and what :class:`FittedSupport` asks
    for: the state it has without any, its module, and how a support describes rows to it.
    """

    _architecture: ClassVar[tuple[str, ...]] = ()
    _allows_nan: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_normal": [tuple],
        "n_anomalous": [tuple],
        "n_query": [Interval(Integral, 2, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "episodes_per_epoch": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither"), None],
        "scaler": [StrOptions({"auto", *SCALERS}), HasMethods(["fit", "transform"])],
        "threshold": [StrOptions({"auto", "conformal", "f1"}), callable, HasMethods(["eval"])],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "outlier_label": "no_validation",
        "clean_support": ["boolean", StrOptions({"all"})],
        "support_contamination": [Interval(Real, 0, 0.5, closed="both")],
        "pretrained": [None, MetaState, str, HasMethods("__fspath__")],
        "device": [str],
        "net_params": [None, dict],
        "callbacks": [None, list],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    # --- what a method provides -------------------------------------------------------------------
    @abstractmethod
    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        """Learn across tasks."""

    # --- public -----------------------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def meta_fit(self, X: Any, y: Any = None, *, groups: Any = None) -> Self:
        """Learn across past tasks; ``fit`` then adapts to a new one.

        The result is kept in the parameter ``pretrained``, so that clones, pipelines and searches
        carry it. A former fit is dropped.

        Ctrl-C is let through. Where the training has had a whole epoch by then, what it had learned
        after the last one is in ``pretrained``, and a warning tells how many it had; else, and
        while held-out tasks are tried, everything is as it was.

        Parameters
        ----------
        X : list or dict of (X_t, y_t), TaskSet, or array-like of shape (n_samples, n_features)
            The tasks, or flat rows together with ``groups``.
        y : array-like of shape (n_samples,), default=None
            Labels of flat rows.
        groups : array-like of shape (n_samples,), default=None
            Task id of each flat row.

        Returns
        -------
        self : object
            The meta-fitted detector.
        """
        check_shots(self.n_normal, self.n_anomalous)
        check_device(self.device)
        tasks = TaskSet.make(
            X, y, groups, outlier_label=self.outlier_label, allow_nan=self._allows_nan
        )
        for task in tasks:
            refuse_huge(task.X, f"Task {task.name!r}: X")
        seed = self._seed()
        with kept_on_interrupt() as interruption:
            state = self._meta_train(tasks, seed)
        state = self._with_probabilities(state, tasks, seed)
        if state.n_features_in is not None:  # what was learned belongs to these columns
            known = TrainingTasks.from_tasks(tasks, seed)
            state = state if known is None else state.with_arrays(known.to_arrays())
        for name in [name for name in vars(self) if is_fitted(name)]:
            delattr(self, name)
        self.pretrained = state
        if interruption.epochs is not None:
            warn_of_interruption(*interruption.epochs)
            raise KeyboardInterrupt
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Adapt to a task from a few rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Support rows; at least two that are not labelled as anomalies.
        y : array-like of shape (n_samples,), default=None
            Labels in scikit-learn's coding (1 inlier, -1 outlier) or PyOD's (0 inlier, 1 outlier);
            NaN or None marks an unlabelled row, which counts as normal as far as the method does
            not doubt it. Without ``y`` all rows are taken for normal.

        Returns
        -------
        self : object
            The fitted detector.
        """
        with restored_on_error(self):
            check_device(self.device)
            rows = self._validated(X, ensure_min_samples=2)
            refuse_huge(rows)
            codes = self._encoded(y, len(rows))
            self._coding = known_coding(y)
            self._fit_support(rows, codes)
        warn_where_far(self._place_among_tasks(), stacklevel=4)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add rows to the support: the same as one ``fit`` on all rows given so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            More support rows.
        y : array-like of shape (n_samples,), default=None
            Their labels, as in :meth:`fit`.

        Returns
        -------
        self : object
            The fitted detector.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y)
        with restored_on_error(self):
            rows = self._validated(X, reset=False)
            refuse_huge(rows)
            codes = self._encoded(y, len(rows), require_normal=False, known=self._coding)
            self._coding = self._coding or known_coding(y)
            self._fit_support(
                np.concatenate([self.support_X_, rows]), np.concatenate([self.support_y_, codes])
            )
        warn_where_far(self._place_among_tasks(), stacklevel=4)
        return self

    def score_samples(self, X: Any) -> Array:
        """Score rows: higher = more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Float64; a row's score does not depend on the rows it comes with. A row that equals a
            normal row of the support is scored as that was from the others, unless rows of the
            support so often repeat each other that it may well be a fresh one.
        """
        self._check_fitted()
        rows = self._validated(X, reset=False, dtype=[np.float64, np.float32])  # not copied whole
        return -self._strangeness(rows)

    def decision_function(self, X: Any) -> Array:
        """Score rows relative to the threshold: negative = anomaly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int_]:
        """Label rows: 1 normal, -1 anomaly.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 or -1.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> NDArray[np.int_]:
        """Fit to rows and label them, using their labels where given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Their labels.
        **kwargs
            Handed to ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 normal, -1 anomaly.
        """
        return self.fit(X, y, **kwargs).predict(X)

    def score(self, X: Any, y: Any) -> float:
        """ROC AUC with the anomaly as the positive class, whatever the coding of ``y``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels; unlabelled rows do not count.

        Returns
        -------
        auc : float
            0.5 is chance.
        """
        scores = -self.score_samples(X)
        codes = encode_labels(
            y, len(scores), outlier_label=self.outlier_label, require_normal=False
        )
        known = codes != UNLABELLED
        return float(roc_auc_score(codes[known] == ANOMALOUS, scores[known]))

    # --- private ----------------------------------------------------------------------------------
    def _validated(self, X: Any, **checks: Any) -> Array:
        finite = "allow-nan" if self._allows_nan else True
        checks = {"dtype": np.float64, "order": "C", "ensure_all_finite": finite, **checks}
        return validated_rows(self, X, **checks)

    def _encoded(self, y: Any, n: int, **how: Any) -> Codes:
        """Codes of support rows; without any labels they are taken for normal."""
        codes = encode_labels(y, n, outlier_label=self.outlier_label, **how)
        return np.full(n, NORMAL, dtype=np.int8) if y is None else codes

    def _with_probabilities(self, state: MetaState, tasks: TaskSet, seed: int) -> MetaState:
        """A state that also knows how likely anomalies are, given a score."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # training has said it already
            own = {"pretrained": state, "contamination": "auto", "callbacks": None, "verbose": 0}
            probe = clone(type(self)(**{**self.get_params(deep=False), **own}))
            learned = learn_from_tasks(probe, self._sampler(tasks, seed), self.episodes_per_epoch)
        if learned is None:
            return state
        curve, rate = learned
        return state.with_arrays({CURVE: curve}, anomaly_rate=rate)

    def _learned_curve(self) -> tuple[Array, float] | None:
        curve = self.state_.arrays.get(CURVE)
        return None if curve is None else (curve, self.state_.info["anomaly_rate"])

    def _place_among_tasks(self) -> TaskPlace | None:
        known = TrainingTasks.from_arrays(self.state_.arrays)
        return None if known is None else known.place(self._reference_normals())

    def _sampler(self, tasks: TaskSet, seed: int) -> EpisodeSampler:
        return EpisodeSampler(
            tasks,
            n_normal=self.n_normal,
            n_anomalous=self.n_anomalous,
            n_query=self.n_query,
            seed=seed,
            support_contamination=self.support_contamination,
        )

    def _net_settings(self, lr: float, seed: int) -> TrainingSettings:
        """Settings of a training by this detector's parameters; ``lr`` where they have none."""
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in ("pretrained", "callbacks", "verbose", "random_state")
        }
        settings = TrainingSettings(
            lr=lr if self.lr is None else self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            device=self.device,
            seed=seed,
            callbacks=[own_callback(callback) for callback in self.callbacks or []],
            verbose=int(self.verbose),
            parameters=parameters,
            keep_on_interrupt=True,
        )
        return settings.with_net_params(copy.deepcopy(self.net_params or {}))

    @property
    def _scaler_follows(self) -> bool:
        """Whether the method chooses the scaler."""
        return isinstance(self.scaler, str) and self.scaler == "auto"

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _check_state(self, state: MetaState) -> None:
        """Refuse a state that this estimator, or the data just validated, does not fit."""
        check_state(self, state)

    def _architecture_value(self, name: str) -> Any:
        """A parameter as a state records it; None where it follows the state."""
        value = getattr(self, name)
        if name == "scaler":
            if isinstance(value, str):
                return None if value == "auto" else value
            return f"{type(value).__name__}({value.get_params()})"
        return list(value) if isinstance(value, tuple) else value

    def _check_fitted(self) -> None:
        if self.__sklearn_is_fitted__():
            return
        name = type(self).__name__
        if self.pretrained is not None:
            raise NotFittedError(
                f"This {name} instance has meta-learned weights but is not fitted yet: call 'fit' "
                "with the support rows of the new task."
            )
        raise NotFittedError(
            f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before "
            "using this estimator."
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)  # y, where given, is binary
        tags.input_tags.allow_nan = self._allows_nan
        return tags

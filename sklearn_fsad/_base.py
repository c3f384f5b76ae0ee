"""The estimator shell that every detector shares: it never knows which method it serves."""

from __future__ import annotations

import copy
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from ._adapted import Adapted, Representation, in_blocks
from ._cleaning import Mask, believed_normals, without_doubtful_anomalies
from ._decisions import Decisions
from ._episodes import EpisodeSampler
from ._explanations import Explanations
from ._guards import (
    check_device,
    check_shots,
    check_state,
    own_callback,
    restored_on_error,
    weights_to_blame,
)
from ._interruption import kept_on_interrupt, warn_of_interruption
from ._labels import ANOMALOUS, NORMAL, UNLABELLED, encode_labels, known_coding
from ._own_rows import OwnRows
from ._probability import CURVE, learn_from_tasks
from ._rows import refuse_huge, validated_rows
from ._scaling import SCALERS
from ._state import MetaState, resolve_state
from ._task_distance import TaskPlace, TrainingTasks, warn_where_far
from ._task_set import TaskSet
from .thresholds import resolve_threshold

Array = NDArray[np.float64]
Codes = NDArray[np.int8]


class BaseFewShotDetector(Decisions, Explanations, OutlierMixin, BaseEstimator, metaclass=ABCMeta):
    """Base of all detectors: validation, labels, thresholds, blockwise scoring, persistence.

    A method provides its meta-training (:meth:`_meta_train`), the state it has without any
    (:meth:`_untrained_state`), its module (:meth:`_module`) and how a support describes rows to
    the module (:meth:`_represent`).
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

    @abstractmethod
    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        """The state of a detector that was never meta-fitted."""

    @abstractmethod
    def _module(self, state: MetaState) -> Any:
        """The torch module of a state: float64, in evaluation mode."""

    @abstractmethod
    def _represent(self, X: Array, y: Codes, state: MetaState) -> Representation:
        """Describe a support and other rows in terms of it."""

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
        for name in [name for name in vars(self) if _is_fitted(name)]:
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

    def _fit_support(self, X: Array, codes: Codes) -> None:
        self.support_X_, self.support_y_ = X.copy(), codes
        n_normal = int((codes != ANOMALOUS).sum())
        if n_normal < 2:
            raise ValueError(
                f"Found {n_normal} sample(s) that are not labelled as anomalies (1 sample is too "
                f"few): {type(self).__name__} needs at least 2 normal or unlabelled rows."
            )
        given = resolve_state(self.pretrained)
        if given is not None:
            self._check_state(given)
        kept = np.ones(len(codes), dtype=bool)
        if self.clean_support:
            kept = self._believed_normals(X, codes, given) | (codes == ANOMALOUS)
        if self.clean_support == "all":
            kept = without_doubtful_anomalies(self._scores_of(given), codes, kept)
        self._learn_from(kept, given)
        self.offset_ = -self._support_cut()

    def _learn_from(self, kept: Mask, given: MetaState | None) -> None:
        """Adapt a given state, or that of a detector without one, to some rows of the support."""
        self.support_kept_ = kept
        X, y = self._ordered_support()
        self.state_ = self._untrained_state(X, y) if given is None else given
        with weights_to_blame(self.pretrained):
            self._adapted = replace(self._adapt(X, y, self.state_), own_rows=OwnRows.of(X, y))
        self._left_out: Array | None = None

    def _believed_normals(self, X: Array, codes: Codes, given: MetaState | None) -> Mask:
        """The normals of the support that ``clean_support`` leaves."""
        return believed_normals(self._scores_of(given), codes)

    def _scores_of(self, given: MetaState | None) -> Callable[[Mask], Array]:
        """``kept -> scores`` of each row of the support from the others among those kept."""

        def scores_from(kept: Mask) -> Array:
            self._learn_from(kept, given)
            scores = self._in_blocks(self._ready_model().score, self.support_X_)
            scores[self._support_order()] = self._left_out_of_support()
            return scores

        return scores_from

    def _ordered_support(self) -> tuple[Array, Codes]:
        """The support in an order of its own: sums round alike however the rows were ordered.

        Without the rows that ``clean_support`` doubts.
        """
        y = np.where(self.support_y_ == ANOMALOUS, ANOMALOUS, NORMAL).astype(np.int8)
        order = self._support_order()
        return self.support_X_[order], y[order]

    def _support_order(self) -> NDArray[np.intp]:
        order = np.lexsort([self.support_y_ == ANOMALOUS, *self.support_X_.T[::-1]])
        return order[self.support_kept_[order]]

    def _adapt(self, X: Array, y: Codes, state: MetaState, module: Any = None) -> Adapted:
        """Adapt the module of a state, which one that was made from it before may stand for."""
        import torch

        module = self._module(state) if module is None else module
        representation = self._represent(X, y, state)
        with torch.no_grad():
            values = module.adapt(
                torch.from_numpy(representation.support), torch.from_numpy(representation.support_y)
            )
        arrays = {name: value.numpy() for name, value in values.items()}
        return Adapted(representation, arrays, self.get_params(deep=False), module)

    def _support_cut(self) -> float:
        if self.contamination != "auto":  # of all rows given
            scores = self._strangeness(self.support_X_)
            return float(np.percentile(scores, 100.0 * (1.0 - self.contamination)))
        _, y = self._ordered_support()
        scores = self._left_out_of_support()
        threshold = resolve_threshold(self.threshold, self.alpha)
        return float(threshold(scores[y == NORMAL], scores[y == ANOMALOUS]))

    def _left_out_of_support(self) -> Array:
        """Score of each row of the ordered support from the others, found once."""
        if self._left_out is None:
            self._ready_model()
            fitted = self._as_fitted()  # whatever was set since
            fitted.__dict__.update({n: v for n, v in vars(self).items() if _is_fitted(n)})
            self._left_out = fitted._left_out_scores(*self._ordered_support())
        return self._left_out

    def _left_out_by_label(self) -> tuple[Array, Array]:
        _, y = self._ordered_support()
        scores = self._left_out_of_support()
        return scores[y == NORMAL], scores[y == ANOMALOUS]

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

    def _left_out_scores(self, X: Array, y: Codes) -> Array:
        """Score of each support row from the others."""
        fold, module = left_out_folds(X, y), self._adapted.module
        scores = np.empty(len(X))
        for out in (fold == i for i in range(fold.max() + 1)):
            if out.any():
                rest = ~out if (y[~out] == NORMAL).any() else np.ones(len(X), dtype=bool)
                scores[out] = self._adapt(X[rest], y[rest], self.state_, module).score(X[out])
        return scores

    def _strangeness(self, rows: Array) -> Array:
        """Scores of rows, those of the support from the others of it: (m, d) -> (m,)."""
        model = self._ready_model()

        def score(block: Array) -> Array:
            own, scores = model.own_rows.find(block), model.score(block)
            if (own >= 0).any():
                scores[own >= 0] = self._left_out_of_support()[own[own >= 0]]
            return scores

        return self._in_blocks(score, rows)

    def _reference_normals(self) -> Array:
        X, y = self._ordered_support()
        return X[y == NORMAL]

    def _place_among_tasks(self) -> TaskPlace | None:
        known = TrainingTasks.from_arrays(self.state_.arrays)
        return None if known is None else known.place(self._reference_normals())

    def _in_blocks(self, function: Callable[[Array], Array], X: Array) -> Array:
        return in_blocks(function, X, n_support=len(self.support_X_))

    def _ready_model(self) -> Adapted:
        """The adapted module, built again after unpickling, as is what tells its own rows."""
        adapted = self._adapted
        if adapted.module is None:
            module, own = (
                self._as_fitted()._module(self.state_),
                OwnRows.of(*self._ordered_support()),
            )
            self._adapted = adapted = replace(adapted, module=module, own_rows=own)
        return adapted

    def _as_fitted(self) -> Self:
        """A detector with the parameters that ``fit`` saw, whatever was set since."""
        return type(self)(**self._adapted.parameters)

    def _sampler(self, tasks: TaskSet, seed: int) -> EpisodeSampler:
        return EpisodeSampler(
            tasks,
            n_normal=self.n_normal,
            n_anomalous=self.n_anomalous,
            n_query=self.n_query,
            seed=seed,
            support_contamination=self.support_contamination,
        )

    def _net_settings(self, **defaults: Any) -> dict[str, Any]:
        """Settings of the training net: the method's, then this detector's parameters."""
        settings = {**defaults, "max_epochs": self.max_epochs, "device": self.device}
        settings["may_be_cut_short"] = True
        if self.lr is not None:
            settings["lr"] = self.lr
        settings["callbacks"] = [own_callback(callback) for callback in self.callbacks or []]
        settings["parameters"] = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in ("pretrained", "callbacks", "verbose", "random_state")
        }
        return {**settings, "verbose": int(self.verbose), **copy.deepcopy(self.net_params or {})}

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


def _is_fitted(name: str) -> bool:
    """Whether an attribute comes from ``fit``."""
    return name.endswith("_") or name in ("_adapted", "_left_out")


def left_out_folds(X: Array, y: Codes) -> NDArray[np.intp]:
    """Fold in which each support row is left out: up to 20 folds of one row, else 5 folds."""
    n_folds = len(X) if len(X) <= 20 else 5
    order = np.lexsort(X.T[::-1])  # the folds do not depend on the order of the rows
    fold = np.empty(len(X), dtype=np.intp)
    for label in (NORMAL, ANOMALOUS):
        rows = order[y[order] == label]
        fold[rows] = np.arange(len(rows)) % n_folds
    return fold

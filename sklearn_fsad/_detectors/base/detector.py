"""Provide the base class of detectors: parameters, labels, ``meta_fit``, ``fit`` and hooks."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context, clone

from ..._choice.forgetting import Bound
from ..._input.labels import ANOMALOUS
from ..._state import MetaState, resolve_state
from ..._training.interruption import kept_on_interrupt, warn_of_interruption
from ..._training.progress import expect_more, expect_only, log_verdicts
from ..._training.usual_torch import usual_torch
from ..._values import plain_scalar
from ...tasks._distance import TrainingTasks, warn_if_far
from ...tasks._episodes import EpisodeSampler
from ...tasks._small_tasks import tell_of_small_tasks
from ...tasks._task_set import TaskSet
from .adaptation import Representation
from .checks import (
    SHARED_CONSTRAINTS,
    check_class,
    forget_fit,
    restored_on_error,
    unfitted_copy,
    without_extremes,
)
from .documentation import spell_out_shared, with_shared_parameters
from .export import Export
from .gaps import without_gaps
from .parameters import given_shots, with_plain_parameters
from .probability import CURVE, learn_from_tasks, work_of_curve
from .querying import Querying
from .reports import Reports
from .support_set import SupportSet


@with_shared_parameters
class BaseFewShotDetector(Querying, Reports, Export, metaclass=ABCMeta):
    """Validate, adapt, score and explain: all that detectors have in common.

    A method provides four hooks: its meta-training, its state before meta-training, the torch
    module of a state, and how rows are represented for that module. Leave-one-out scores have a
    default.

    Parameters
    ----------
    {n_normal}
    {n_query}
    {support_contamination}
    max_epochs : int, default=20
        Epochs of meta-training.
    episodes_per_epoch : int, default=None
        Episodes in an epoch; None uses the default of the method.
    batch_size : int, default=16
        Episodes per training step.
    lr : float, default=None
        Learning rate; None uses the default of the method.
    {threshold}
    {alpha}
    {contamination}
    {outlier_label}
    {clean_support}
    {max_context}
    {pretrained}
    {device}
    {net_params}
    {callbacks}
    {verbose}
    {random_state}

    Attributes
    ----------
    {offset_}
    {state_}
    {support_X_}
    {support_y_}
    {support_kept_}
    {n_features_in_}
    {feature_names_in_}
    """

    _architecture: ClassVar[tuple[str, ...]] = ()
    _parameter_constraints: ClassVar[dict[str, Any]] = SHARED_CONSTRAINTS

    def __init__(
        self,
        *,
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 60,
        support_contamination: float = 0.0,
        max_epochs: int | None = 20,
        episodes_per_epoch: int | None = None,
        batch_size: int = 16,
        lr: float | None = None,
        threshold: Any = "auto",
        alpha: float = 0.05,
        contamination: Any = "auto",
        outlier_label: Any = "auto",
        clean_support: bool | str = False,
        max_context: Any = 2000,
        pretrained: Any = None,
        device: str = "cpu",
        net_params: dict[str, Any] | None = None,
        callbacks: list[Any] | None = None,
        verbose: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_normal = n_normal
        self.n_anomalous = n_anomalous
        self.n_query = n_query
        self.support_contamination = support_contamination
        self.max_epochs = max_epochs
        self.episodes_per_epoch = episodes_per_epoch
        self.batch_size = batch_size
        self.lr = lr
        self.threshold = threshold
        self.alpha = alpha
        self.contamination = contamination
        self.outlier_label = outlier_label
        self.clean_support = clean_support
        self.max_context = max_context
        self.pretrained = pretrained
        self.device = device
        self.net_params = net_params
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        spell_out_shared(cls)

    # --- what a method provides -------------------------------------------------------------------
    @abstractmethod
    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        """Learn across tasks."""

    @abstractmethod
    def _module(self, state: MetaState) -> Any:
        """Build the torch module of a state: float64, in evaluation mode."""

    @abstractmethod
    def _represent(self, support: SupportSet, state: MetaState) -> Representation:
        """Represent a support, and other rows in terms of it."""

    # --- public -----------------------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def meta_fit(self, X: Any, y: Any = None, *, groups: Any = None) -> Self:
        """Learn across past tasks; ``fit`` then adapts to a new one.

        The result is stored in the parameter ``pretrained``, so that clones, pipelines and searches
        keep it. An earlier ``fit`` is forgotten.

        Ctrl-C raises KeyboardInterrupt as usual. After at least one whole epoch of training,
        ``pretrained`` then holds the state after the last whole epoch, and a warning says how many
        epochs that was. Before that, and during the comparison on held-out tasks, nothing is
        changed.

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
        with (
            with_plain_parameters(self),
            usual_torch(),
            kept_on_interrupt() as interruption,
            self._progress("meta_fit"),
        ):
            state = self._learned_state(X, y, groups)
        forget_fit(self)
        self.pretrained = state
        if interruption.epochs is not None:
            warn_of_interruption(*interruption.epochs)
            raise KeyboardInterrupt
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Adapt to a task from a few rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows (the support); at least two that are not labelled as anomalies.
        y : array-like of shape (n_samples,), default=None
            Labels in scikit-learn's coding (1 inlier, -1 outlier) or PyOD's (0 inlier, 1 outlier);
            NaN or None marks an unlabelled row, which counts as normal unless it is left out as
            suspicious. Without ``y`` all rows count as normal.
        sample_weight : array-like of shape (n_samples,), default=None
            Trust in the label of each row: the probability that it is right, such as the share of
            right labels among those of one person. 1 or more keeps the row, 0 leaves it out. In
            between the row is left out if its score, given the rows of weight 1, makes the label
            more likely wrong than right, by Bayes' rule with the weight as the prior; where fewer
            than five of these rows are normal, all rows are used. ``support_kept_`` marks the rows
            that are kept. Rows without a label are taken for normal ones. None trusts every label.

        Returns
        -------
        self : object
            The fitted detector.
        """
        with (
            restored_on_error(self),
            with_plain_parameters(self),
            usual_torch(),
            self._progress("fit"),
        ):
            self._learn_rows(X, y, sample_weight)
        warn_if_far(self._place_among_tasks())
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        max_support: int | None = None,
        keep: str = "newest",
    ) -> Self:
        """Add training rows: the same as one ``fit`` on all rows given so far.

        Parameters changed in the meantime apply, as in that ``fit``. Earlier labels keep their
        meaning. With ``max_support`` old rows are forgotten: the same as one ``fit`` on the rows
        that are kept, so that time and memory do not grow with the rows given so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            More training rows.
        y : array-like of shape (n_samples,), default=None
            Their labels, as in :meth:`fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Trust in their labels, as in :meth:`fit`; that in earlier rows is remembered.
        max_support : int, default=None
            Training rows to keep, at least 2; None keeps all. Labelled anomalies, which are few and
            dear, are kept up to half of that number, or more where there are fewer other rows; the
            other rows, with and without labels, fill the rest. ``support_X_`` shows what was kept.
        keep : {"newest", "diverse"}, default="newest"
            Which rows to keep of each kind: those given last, for a process that changes; or rows
            that are as different as possible [1]_, for one that has many states, of which some are
            rare. The distances of n rows to those kept take time in proportion to n times
            ``max_support``. Diverse rows lie farther apart than new ones, so that thresholds and
            p-values flag fewer normal rows than they promise, and mistakes among the rows are kept.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            If ``max_support`` is no whole number of at least 2, if ``keep`` is not known, or for
            what :meth:`fit` refuses. The detector is then unchanged.

        References
        ----------
        .. [1] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance",
           Theoretical Computer Science 38, 1985.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> X = np.random.default_rng(0).normal(size=(60, 3))
        >>> detector = ProtoNetDetector().fit(X[:40]).partial_fit(X[40:], max_support=50)
        >>> bool((detector.support_X_ == X[10:]).all())
        True
        """
        bound, adds = Bound.of(plain_scalar(max_support), keep), self.__sklearn_is_fitted__()
        if bound is None and not adds:
            return self.fit(X, y, sample_weight)
        with (
            restored_on_error(self),
            with_plain_parameters(self),
            usual_torch(),
            self._progress("partial_fit"),
        ):
            self._learn_rows(X, y, sample_weight, adds=adds, bound=bound)
        warn_if_far(self._place_among_tasks())
        return self

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> NDArray[np.int_]:
        """Fit to rows and label them, using their labels where given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            Their labels.
        **kwargs
            Passed to ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 normal, -1 anomaly.
        """
        return self.fit(X, y, **kwargs).predict(X)

    # --- fitting ----------------------------------------------------------------------------------
    def _learned_state(self, X: Any, y: Any, groups: Any) -> MetaState:
        """Check everything, then learn the state of ``meta_fit``."""
        self._check_before_training()
        check_class(self, resolve_state(self.pretrained))
        given = TaskSet.make(X, y, groups, outlier_label=self.outlier_label, allow_nan=True)
        given = without_extremes(given)
        tasks = without_gaps(given) if self._fills_gaps else given
        seed = self._seed()
        sampler = self._sampler(tasks, seed)
        tell_of_small_tasks(sampler, given_shots(self))
        last = work_of_curve(sampler, self.episodes_per_epoch)
        expect_more(last)
        state = self._meta_train(tasks, seed)
        expect_only(last)
        log_verdicts(state.info.get("held_out", ()))
        state = self._with_probabilities(state, given, seed)
        if state.n_features_in is None:
            return state
        known = TrainingTasks.from_tasks(given, seed)  # what was learned belongs to these columns
        return state if known is None else state.with_arrays(known.to_arrays())

    # --- private ----------------------------------------------------------------------------------
    def _with_probabilities(self, state: MetaState, tasks: TaskSet, seed: int) -> MetaState:
        """Add the curve from scores to probabilities to the state."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # training has issued them already
            own = {"pretrained": state, "contamination": "auto", "callbacks": None, "verbose": 0}
            own["outlier_label"] = ANOMALOUS  # of the episodes' labels
            probe = unfitted_copy(clone(unfitted_copy(self, **own)), **own)
            learned = learn_from_tasks(probe, self._sampler(tasks, seed), self.episodes_per_epoch)
        if learned is None:
            return state
        curve, rate = learned
        return state.with_arrays({CURVE: curve}, anomaly_rate=rate)

    def _sampler(self, tasks: TaskSet, seed: int) -> EpisodeSampler:
        return EpisodeSampler(
            tasks,
            n_normal=self.n_normal,
            n_anomalous=self.n_anomalous,
            n_query=self.n_query,
            seed=seed,
            support_contamination=self.support_contamination,
        )

"""NeuralProcessDetector: score rows by how unlikely their features are given the others."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from ..._input.labels import ANOMALOUS
from ..._state import MetaState
from ..._training.progress import phase
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet
from ..base.adaptation import Adaptation, Method, SupportSet
from ..base.detector import BaseFewShotDetector
from ..base.documentation import with_shared_parameters
from .learning import meta_learned_state
from .likelihoods import LIKELIHOODS
from .masks import MaskPlan
from .module import SCORES, NeuralProcess
from .networks import KINDS
from .predictions import Predictor, feature_terms
from .reduction import REDUCTIONS
from .representation import MaskedRepresentation
from .self_teaching import scores_without_folds, self_taught_states, without_folds
from .states import ANCHORS, WEIGHT, check_process, describe, module_of


@with_shared_parameters
class NeuralProcessDetector(BaseFewShotDetector):
    """Detect rows whose features are unlikely given the other features and the support.

    A neural process [1]_ predicts the hidden features of a row from the visible ones and from a
    context, the support; a row whose features are unlikely under its predictions is an anomaly.
    That finds rows whose features are all in range but do not belong together, says which of them
    are off (:meth:`feature_scores`) and takes missing values (NaN) as they come. With
    ``target_features`` it is the textbook neural process, from inputs to outputs.

    Predictions start from two closed forms, a shrunken Gaussian and a kernel regression on the
    support, and a network learns how the truth departs from them. ``meta_fit`` trains it on the
    normal rows of past tasks, and keeps it only where held-out tasks get better by it; without
    ``meta_fit`` it trains on the support itself, some rows as the context of others, in a few
    seconds. Labelled anomalies never train it: they weigh features and set the threshold.

    Parameters
    ----------
    kind : {"tnp", "cnp", "np", "anp", "convcnp"}, default="tnp"
        The network: a transformer over the rows of the context [2]_; the mean of what they say
        [1]_; a latent variable given it [3]_; attention to rows that resemble the query [4]_; or,
        for rows that are grids, convolutions [5]_.
    anomaly_score : {"surprise", "nll", "density", "variance", "error"}, default="surprise"
        "nll" is the negative log-likelihood of each feature given the others, under the closed form
        that gives the larger one; "surprise" adds the log of the scale of the kernel regression,
        large where nothing in the support resembles the row; "density" is the negative log density
        by the chain rule in four random orders; "variance" is the predicted variance, which the
        linear closed form alone has the same for all rows, "error" the squared error in units of
        it. All are means over the features that a row shows.
    anchor : {"auto", "both", "linear", "kernel", "none"}, default="auto"
        The closed forms to depart from; with "none" the network stands on its own. "auto" is both,
        "linear" for more than 100 features and "none" with ``target_features``.
    likelihood : {"student-t", "gaussian"}, default="student-t"
        Distribution of a feature around its prediction.
    n_masks : "auto", int or None, default="auto"
        How a row is scored: each feature hidden in turn (None), or so many random halves of them,
        in pairs; "auto" does both up to 32 features, and 8 halves beyond. Ignored with
        ``target_features`` or ``anomaly_score="density"``.
    target_features : sequence of str or int, default=None
        Names or positions of the features to predict from the others, where some are inputs and
        some outputs. Only they are scored. Where the support leaves gaps between its inputs,
        ``anomaly_score="error"`` raises fewer false alarms.
    grid_shape : tuple of int, default=None
        Grid that a row is to "convcnp", ``(32,)`` or ``(8, 8)``; None is one line. Else ignored.
    reduce : {"pca", "autoencoder"} or None, default=None
        Reduce scaled rows to ``reduce_dim`` features, and the logarithm of the squared error that
        leaves, by a map learned from all tasks.
    reduce_dim : int, default=32
        Number of reduced features, at most as many as there are; without ``reduce`` it is ignored.
    objective : {"elbo", "importance"}, default="elbo"
        What "np" maximises: the evidence lower bound, or the importance-weighted one; else ignored.
    n_latent_samples : int, default=16
        Samples of the latent variable of "np"; else ignored.
    weigh_features : bool, default=True
        Whether labelled anomalies, of past tasks where held-out ones get better by it and of the
        support, give weights to features.
    gate : bool, default=True
        Whether a network that was meta-trained has to beat its closed form on held-out tasks to be
        used.
    embedding_dim : int, default=None
        Width of the network; None means 32.
    n_layers : int, default=2
        Layers of "tnp"; else ignored.
    n_heads : int, default=4
        Heads of the attention of "tnp" and "anp", a divisor of ``embedding_dim``; else ignored.
    n_normal, n_anomalous : tuple of (int, int), default=(5, 50) and (0, 10)
        Lowest and highest number of normal rows in the context of a training episode; the
        anomalous are not used.
    n_query : int, default=60
        Rows of a training episode to predict.
    {support_contamination}
    max_epochs : int, default=None
        Epochs of training; 0 keeps the closed forms. None means 20 for ``meta_fit``; without it 4
        below 50 rows, 8 below 400 and 16 from there on.
    episodes_per_epoch : int, default=None
        None means 200.
    batch_size : int, default=8
        Episodes per training step.
    lr : float, default=None
        Highest rate of the training steps, a cycle of rates; None means 0.005.
    scaler : {"auto", "task", "joint", "none", "robust", "shrunk", "pooled"} or transformer, \
default="auto"
        Scaling of the features by the support, the same in every episode and at ``fit``. "auto" is
        "task", each feature by its own spread; "joint", all by one, for embeddings: more than 100
        features whose values rarely repeat; and "pooled", by the spread over all tasks, with
        ``target_features``.
    {threshold}
        Without ``meta_fit`` three more networks, each of two thirds of the support, score the rest.
    {alpha}
    {contamination}
    {outlier_label}
    {clean_support}
    max_context : int, default=1024
        As of the other detectors. Of other normals up to 2000 still set the threshold.
    {pretrained}
    {device}
    {net_params}
    {callbacks}
    {verbose}
    {random_state}

    Attributes
    ----------
    {offset_}
    state_ : MetaState
        The state that ``fit`` adapted; ``state_.info["held_out"]`` tells what held-out tasks said.
    {support_X_}
    {support_y_}
    {support_kept_}
    {n_features_in_}
    {feature_names_in_}

    Notes
    -----
    A feature that never varied in the support counts by itself: a row in which it differs is
    anomalous by the square of how far, in thousandths of the mean spread of the others, or, with
    ``scaler="joint"``, in the unit that all features share. Rows with missing entries take longer.

    References
    ----------
    .. [1] M. Garnelo et al., "Conditional neural processes", ICML 2018.
    .. [2] T. Nguyen and A. Grover, "Transformer neural processes: uncertainty-aware meta learning
       via sequence modeling", ICML 2022.
    .. [3] M. Garnelo et al., "Neural processes", 2018.
    .. [4] H. Kim et al., "Attentive neural processes", ICLR 2019.
    .. [5] J. Gordon et al., "Convolutional conditional neural processes", ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import NeuralProcessDetector
    >>> rng = np.random.default_rng(0)
    >>> speed = rng.uniform(1, 2, size=(60, 1))
    >>> X = np.hstack([speed, 3 * speed]) + rng.normal(scale=0.05, size=(60, 2))
    >>> detector = NeuralProcessDetector(max_epochs=2, random_state=0).fit(X)
    >>> detector.predict([[1.5, 4.5], [1.9, 3.3]])  # in range, but not together
    array([ 1, -1])
    """

    _allows_nan = True
    _most_scored = 2000
    _architecture = (
        "kind",
        "anchor",
        "likelihood",
        "target_features",
        "grid_shape",
        "reduce",
        "embedding_dim",
        "n_layers",
        "n_heads",
        "scaler",
    )
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseFewShotDetector._parameter_constraints,
        "kind": [StrOptions(set(KINDS))],
        "anomaly_score": [StrOptions(set(SCORES))],
        "anchor": [StrOptions({"auto", *ANCHORS})],
        "likelihood": [StrOptions(set(LIKELIHOODS))],
        "n_masks": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left"), None],
        "target_features": [None, tuple],
        "grid_shape": [None, tuple],
        "reduce": [None, StrOptions(set(REDUCTIONS))],
        "reduce_dim": [Interval(Integral, 1, None, closed="left")],
        "objective": [StrOptions({"elbo", "importance"})],
        "n_latent_samples": [Interval(Integral, 1, None, closed="left")],
        "weigh_features": ["boolean"],
        "gate": ["boolean"],
        "embedding_dim": [Interval(Integral, 1, None, closed="left"), None],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        *,
        kind: str = "tnp",
        anomaly_score: str = "surprise",
        anchor: str = "auto",
        likelihood: str = "student-t",
        n_masks: Any = "auto",
        target_features: Any = None,
        grid_shape: Sequence[int] | None = None,
        reduce: str | None = None,
        reduce_dim: int = 32,
        objective: str = "elbo",
        n_latent_samples: int = 16,
        weigh_features: bool = True,
        gate: bool = True,
        embedding_dim: int | None = None,
        n_layers: int = 2,
        n_heads: int = 4,
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 60,
        support_contamination: float = 0.0,
        max_epochs: int | None = None,
        episodes_per_epoch: int | None = None,
        batch_size: int = 8,
        lr: float | None = None,
        scaler: Any = "auto",
        threshold: Any = "auto",
        alpha: float = 0.05,
        contamination: Any = "auto",
        outlier_label: Any = "auto",
        clean_support: bool | str = False,
        max_context: int = 1024,
        pretrained: Any = None,
        device: str = "cpu",
        net_params: dict[str, Any] | None = None,
        callbacks: list[Any] | None = None,
        verbose: int | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            n_normal=n_normal,
            n_anomalous=n_anomalous,
            n_query=n_query,
            support_contamination=support_contamination,
            max_epochs=max_epochs,
            episodes_per_epoch=episodes_per_epoch,
            batch_size=batch_size,
            lr=lr,
            threshold=threshold,
            alpha=alpha,
            contamination=contamination,
            outlier_label=outlier_label,
            clean_support=clean_support,
            max_context=max_context,
            pretrained=pretrained,
            device=device,
            net_params=net_params,
            callbacks=callbacks,
            verbose=verbose,
            random_state=random_state,
        )
        self.kind = kind
        self.anomaly_score = anomaly_score
        self.anchor = anchor
        self.likelihood = likelihood
        self.n_masks = n_masks
        self.target_features = target_features
        self.grid_shape = grid_shape
        self.reduce = reduce
        self.reduce_dim = reduce_dim
        self.objective = objective
        self.n_latent_samples = n_latent_samples
        self.weigh_features = weigh_features
        self.gate = gate
        self.embedding_dim = embedding_dim
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.scaler = scaler

    # --- what the shell asks for ------------------------------------------------------------------
    _check_parameters = check_process

    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        return meta_learned_state(self, tasks, seed)

    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        normals = X[y != ANOMALOUS]
        return self_taught_states(self, [normals], self._seed(), len(normals))[0]

    def _adapted_untrained(self, method: Method, support: SupportSet) -> Adaptation:
        normals, seed = support.normals, self._seed()
        parts = [normals, *without_folds(normals, seed)]
        with phase(f"no meta_fit: learning from the {len(support.X)} rows of fit"):
            state, *without = self_taught_states(self, parts, seed, len(normals))
        adaptation = Adaptation.of(method, state, support)
        return adaptation.with_left_out(self._left_out_scores(adaptation, without))

    def _module(self, state: MetaState, plans: Sequence[MaskPlan] | None = None) -> NeuralProcess:
        return module_of(self, state, plans)

    def _represent(self, support: SupportSet, state: MetaState) -> MaskedRepresentation:
        return describe(self, support.X, support.y, state)

    def _architecture_value(self, name: str) -> Any:
        value = getattr(self, name)
        if name == "anchor" and value == "auto":
            return None
        if name == "target_features" and value is not None:
            return [f if isinstance(f, str) else int(f) for f in value]
        return super()._architecture_value(name)

    def _left_out_scores(self, adaptation: Adaptation, without: Sequence[MetaState] = ()) -> Array:
        """Score of each support row from the others, by weights that have not seen it."""
        state = adaptation.state
        if state.info["n_tasks"] or not any(k.startswith(WEIGHT) for k in state.arrays):
            return super()._left_out_scores(adaptation)
        return scores_without_folds(self, adaptation, without)

    # --- what a process tells beside scores -------------------------------------------------------
    def feature_scores(self, X: Any) -> Array:
        """Split the anomaly scores of rows over features: which of them are off.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_features)
            They add up to ``-score_samples(X)``: larger = more anomalous. With ``reduce`` the terms
            of the reduced features are split by what each feature brings to them. What the
            leave-one-out score of a row of the support adds is split evenly.
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        return feature_terms(self._adaptation, rows)

    def predict_distribution(self, X: Any) -> tuple[Array, Array]:
        """Predict the target features of rows from the others, or each feature from all others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the target features hold does not matter; it may be NaN.

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_targets)
            Mean and standard deviation in the unit of each feature; without ``target_features``
            there is one for every feature.
        """
        predictor = self._predictor()
        return predictor.distribution(self._validated(X, reset=False))

    @available_if(lambda self: self._in_force("kind") == "np")
    def sample_functions(self, X: Any) -> Array:
        """Predict rows once for each sample of the latent variable; only for ``kind="np"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        functions : ndarray of shape (n_latent_samples, n_samples, n_targets)
            The means, each sample one function; columns as in :meth:`predict_distribution`.
        """
        predictor = self._predictor()
        if predictor.module.network is None:
            raise ValueError(
                "There is no latent variable to sample: held-out tasks favoured the closed form, "
                "or max_epochs=0. Use gate=False, or train."
            )
        return predictor.functions(self._validated(X, reset=False))

    def _predictor(self) -> Predictor:
        """Return the predictor of features, unless these are reduced ones."""
        self._check_fitted()
        if self.state_.architecture["reduce"] is not None:
            raise ValueError(
                "With reduce the process predicts reduced features, not those of X: use "
                "reduce=None for predictive distributions."
            )
        return Predictor(self._adaptation, self.n_features_in_)

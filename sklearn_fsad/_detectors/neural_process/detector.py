"""NeuralProcessDetector: score rows by how unlikely their features are given the others."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..._input.labels import ANOMALOUS, NORMAL
from ..._state import MetaState
from ..._training.progress import phase
from ..._training.usual_torch import usual_torch
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet
from ..base.adaptation import Adaptation, Method
from ..base.checks import unfitted_copy
from ..base.context import context_of
from ..base.detector import BaseFewShotDetector
from ..base.documentation import with_shared_parameters
from ..base.parameters import with_plain_parameters
from ..base.support_set import SupportSet
from .labelled import with_label_evidence
from .learning import meta_learned_state
from .likelihoods import LIKELIHOODS
from .masks import MaskPlan
from .module import SCORES, NeuralProcess
from .networks import KINDS
from .predicting_detector import PredictingDetector
from .reduction import REDUCTIONS
from .representation import MaskedRepresentation
from .self_teaching import (
    is_taught,
    scores_without_folds,
    self_taught_states,
    states_of_parts,
    without_folds,
)
from .states import ANCHORS, WEIGHT, check_process, describe, module_of


@with_shared_parameters
class NeuralProcessDetector(PredictingDetector):
    """Predict each feature of a row from the others; flag rows where the prediction is far off.

    A neural process [1]_ predicts hidden features of a row from its visible ones and from the
    training rows, called its context. A row is anomalous if its features are unlikely under these
    predictions. This finds rows whose features are all in range but do not belong together, and
    says which of them are off (:meth:`feature_scores`). Missing values (NaN) are allowed. With
    ``target_features`` it is the textbook neural process, from inputs to outputs.

    Predictions start from two default formulas, a Gaussian with a shrunken covariance and a kernel
    regression on the training rows; a network learns to correct them. ``meta_fit`` trains the
    network on the normal rows of past tasks and uses it only if it is better on held-out tasks.
    Without ``meta_fit`` it trains in a few seconds on the rows given to ``fit``, some as the
    context of others. Labelled anomalies never train the network: they weight features, set the
    threshold and add evidence of their own to the score, such as the distance to the nearest of
    them (``label_evidence``).

    Parameters
    ----------
    kind : {"tnp", "cnp", "np", "anp", "convcnp"}, default="tnp"
        The network, in this order: a transformer over the rows of the context [2]_; the mean of
        their encodings [1]_; a latent variable given that mean [3]_; attention to rows similar to
        the row to score [4]_; convolutions, for rows that are grids [5]_.
    anomaly_score : {"surprise", "nll", "density", "variance", "error"}, default="surprise"
        "nll" is the negative log-likelihood of each feature given the others, the larger one of
        those under the two formulas; "surprise" adds the log of the scale of the kernel regression,
        which is large for rows unlike all training rows; "density" is the negative log density by
        the chain rule in four random orders; "variance" is the predicted variance, the same for all
        rows under the linear formula alone; "error" is the squared error divided by that variance.
        All are means over the features of a row that are not missing. With labelled anomalies it is
        standardised by the leave-one-out scores of the normal rows, before evidence is added.
    anchor : {"auto", "both", "linear", "kernel", "none"}, default="auto"
        The default formulas that the network corrects; with "none" the network works alone. "auto"
        is "both", but "linear" for more than 100 features and "none" with ``target_features``.
    likelihood : {"student-t", "gaussian"}, default="student-t"
        Distribution of a feature around its prediction.
    n_masks : "auto", int or None, default="auto"
        Which features are hidden to score a row: each in turn (None), or this number of random
        halves, in pairs. "auto" does both up to 32 features, and 8 halves for more. Ignored with
        ``target_features`` or ``anomaly_score="density"``.
    target_features : sequence of str or int, default=None
        Names or positions of the output features, to predict from the others, the inputs. Only
        these are scored. If there are gaps between the inputs of the training rows,
        ``anomaly_score="error"`` gives fewer false alarms.
    grid_shape : tuple of int, default=None
        Shape of a row as a grid for "convcnp", such as ``(32,)`` or ``(8, 8)``; None means one
        line. Ignored by the other kinds.
    reduce : {"pca", "autoencoder"} or None, default=None
        Reduce scaled rows to ``reduce_dim`` features by a map learned from all tasks; the logarithm
        of the squared reconstruction error is one more feature.
    reduce_dim : int, default=32
        Number of reduced features, at most the number of features; ignored without ``reduce``.
    objective : {"elbo", "importance"}, default="elbo"
        What "np" maximises: the evidence lower bound or the importance-weighted bound; ignored by
        the other kinds.
    n_latent_samples : int, default=16
        Samples of the latent variable of "np"; ignored by the other kinds.
    weigh_features : bool, default=True
        Whether labelled anomalies give weights to features: those of the new task, and those of
        past tasks if that is better on held-out tasks.
    label_evidence : bool, default=True
        Whether labelled anomalies add evidence to the score: neighbour ratios and discriminants
        between the normal rows and them, as in :class:`ProtoNetDetector`, computed in the scaled
        features of the process with missing values filled by its predictions. ``meta_fit`` learns
        their weights if enough past tasks have anomalies. Without labels nothing is added, nor with
        ``target_features``.
    gate : bool, default=True
        Whether a meta-trained network is used only if it is better than the default formulas on
        held-out tasks.
    embedding_dim : int, default=None
        Width of the network; None means 32.
    n_layers : int, default=2
        Layers of "tnp"; ignored by the other kinds.
    n_heads : int, default=4
        Attention heads of "tnp" and "anp", a divisor of ``embedding_dim``; ignored by the other
        kinds.
    n_normal, n_anomalous : tuple of (int, int), default=(5, 50) and (0, 10)
        Lowest and highest number of normal rows in the context of a training episode, and of
        labelled anomalies where the weights of their evidence are learned.
    n_query : int, default=60
        Rows of a training episode to predict.
    {support_contamination}
    max_epochs : int, default=None
        Epochs of training; 0 keeps the default formulas. None means 20 for ``meta_fit``; without
        ``meta_fit`` 4 for fewer than 50 rows, 8 for fewer than 400 and 16 for more.
    episodes_per_epoch : int, default=None
        None means 200.
    batch_size : int, default=8
        Episodes per training step.
    lr : float, default=None
        Highest learning rate of the cycle; None means 0.005.
    scaler : {"auto", "task", "joint", "none", "robust", "shrunk", "pooled"} or transformer, \
default="auto"
        Scaling of the features by the training rows, the same in every episode and in ``fit``.
        "auto" is "task", each feature by its own spread; but "joint", one spread for all, for
        embeddings (more than 100 features whose values rarely repeat), and "pooled", by the spread
        over all tasks, with ``target_features``.
    {threshold}
        Without ``meta_fit`` three more networks are trained for it, each on two thirds of the
        training rows, and score the other third.
    {alpha}
    {contamination}
    {outlier_label}
    {clean_support}
    max_context : int, default=1024
        As for the other detectors, but at most 2000 of the other normal rows set the threshold.
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
        The meta-learned state that ``fit`` started from; ``state_.info["held_out"]`` holds the
        comparisons on held-out tasks.
    {support_X_}
    {support_y_}
    {support_kept_}
    {n_features_in_}
    {feature_names_in_}

    Notes
    -----
    If a feature is constant in the training rows, a row with another value is anomalous by the
    squared difference, in thousandths of the mean spread of the other features, or, with
    ``scaler="joint"``, in the common unit of all features. Rows with missing values take longer.

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

    _fills_gaps = False  # the process reads masks
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
        "label_evidence": ["boolean"],
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
        label_evidence: bool = True,
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
        self.label_evidence = label_evidence
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

    def _adapted_to(self, support: SupportSet, given: MetaState | None) -> Adaptation:
        return with_label_evidence(super()._adapted_to(support, given))

    def _scores_by_parts(
        self, parts: Sequence[Array], queries: Sequence[Array]
    ) -> list[Array] | None:
        """Score rows by detectors that are fitted to parts of normal rows, trained together.

        What each detector learns is what it would learn alone, but without a threshold it takes no
        more than one network. None where the fits have to be made one by one.
        """
        with with_plain_parameters(self), usual_torch(), self._progress("fit"):
            if self.clean_support or not is_taught(self):
                return None
            supports = [self._support_of_normals(rows) for rows in parts]
            states = states_of_parts(self, [support.X for support in supports], self._seed())
            method = unfitted_copy(self)
            fits = zip(states, supports, queries, strict=True)
            return [Adaptation.of(method, state, own).score(rows) for state, own, rows in fits]

    def _support_of_normals(self, rows: Array) -> SupportSet:
        codes = np.full(len(rows), NORMAL, dtype=np.int8)
        context, _ = context_of(rows, codes, self._most_normals(codes), 0)
        rows, codes = rows[context], codes[context]
        return self._support_of(rows, codes, np.ones(len(rows), dtype=bool))

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

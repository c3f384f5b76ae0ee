"""Detect anomalies by prototypes: a mix of evidence, or a prototypical network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from torch import nn

from ..._evidence.kinds import resolve_evidence
from ..._onnx.graph import Graph
from ..._state import MetaState
from ..._training.usual_torch import usual_torch
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet
from ..base.adaptation import Adaptation, Representation
from ..base.checks import CATEGORICAL_FEATURES, check_layers
from ..base.detector import BaseFewShotDetector
from ..base.documentation import with_shared_parameters
from ..base.support_set import SupportSet
from .export import write_network
from .mix import PooledMethod
from .network import NetworkMethod


def _weighs_evidence(detector: ProtoNetDetector) -> bool:
    return bool(detector._in_force("embedding") == "pooled")


@with_shared_parameters
class ProtoNetDetector(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseFewShotDetector):
    """Compare rows with typical normal and anomalous rows; past tasks teach the weights.

    With ``embedding="pooled"`` the anomaly score is a weighted sum of several scores, called
    evidence: Mahalanobis distances to the normal rows in four metrics, the distance to the nearest
    normals, the shift along the directions in which anomalies of past tasks deviated, discriminants
    towards the labelled anomalies and neighbour ratios in small subspaces. Each is standardised by
    the leave-one-out scores of the normal training rows. ``meta_fit`` learns in seconds how to
    weight them, depending on the number of shots. The learned weights are used only if they are
    better on held-out tasks. Without ``meta_fit`` fixed default weights are used.

    With ``embedding="mlp"`` it is the prototypical network of Snell et al. [1]_: an embedding is
    trained end to end on episodes, and the mean of each class is its prototype. Try it if you have
    hundreds of training tasks.

    Parameters
    ----------
    embedding : {"pooled", "mlp"}, default="pooled"
        Space of the prototypes.
    evidence : {"all", "support"} or sequence of str and callables, default=None
        Kinds of evidence to use: by name, or your own functions ``(support, rows) -> scores``, such
        as :class:`sklearn_fsad.evidence.RegressorEvidence`. None and "all" mean all that are built
        in; "support" means those that need only the training rows of the task: what ``meta_fit``
        then learns can be used for tables of any width. In a sequence these two may stand beside
        others. Only for ``embedding="pooled"``.
    embedding_dim : int, default=None
        Directions of the pooled covariance that are whitened one by one (None: all of them), or
        width of the learned embedding (None: 32).
    hidden : tuple of int, default=None
        Hidden layers, only for ``embedding="mlp"``; None means ``(128, 128)``.
    {n_normal}
    {n_query}
    {support_contamination}
    adversarial_eps : float, default=0.0
        Robust meta-training, only for ``embedding="mlp"``: each scaled value of the rows to score
        is changed by up to this much, by projected gradient, to make the loss larger. Try 0.3.
    max_epochs : int, default=None
        Epochs of meta-training; 0 keeps the default weights. None means 4 for "pooled", each of
        five steps of L-BFGS on all episodes, and 200 for the "mlp".
    episodes_per_epoch : int, default=None
        For "pooled" the number of episodes, which are the same in every epoch; None means 24 per
        task, at most 480. For "mlp" the number of new episodes in each epoch; None means 256.
    batch_size : int, default=16
        Episodes per training step of the "mlp"; "pooled" uses all its episodes in each step.
    lr : float, default=None
        Learning rate; None means 0.003 for "mlp", and for "pooled" 1, which suits L-BFGS (0.08 if
        ``net_params`` names another optimizer).
    scaler : {"auto", "none", "task", "robust", "shrunk"} or transformer, default="auto"
        Scaling of the features, the same in every episode and in ``fit``. "auto" is "none" for
        "pooled", whose evidence uses raw and scaled features. For "mlp" it is chosen on the
        training tasks; without training tasks it is "task" if the spreads of the features differ
        more than five-fold.
    {threshold}
    {alpha}
    {contamination}
    {outlier_label}
    {categorical_features}
    {clean_support}
    {max_context}
    {pretrained}
    device : str, default="cpu"
        Device on which the "mlp" is trained.
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

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning",
       NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import ProtoNetDetector
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(10, 4)), rng.normal(3, 1, size=(2, 4))])
    >>> y = np.array([1] * 10 + [-1] * 2)
    >>> detector = ProtoNetDetector().fit(X, y)
    >>> detector.predict([[0.0, 0.0, 0.0, 0.0], [4.0, 4.0, 4.0, 4.0]])
    array([ 1, -1])
    """

    _architecture = ("embedding", "evidence", "embedding_dim", "hidden", "scaler")
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseFewShotDetector._parameter_constraints,
        "embedding": [StrOptions({"pooled", "mlp"})],
        "evidence": [None, StrOptions({"all", "support"}), tuple],
        "embedding_dim": [None, Interval(Integral, 1, None, closed="left")],
        "hidden": [None, tuple],
        "adversarial_eps": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), None],
        "categorical_features": CATEGORICAL_FEATURES,
    }

    def __init__(
        self,
        *,
        embedding: str = "pooled",
        evidence: Sequence[Any] | None = None,
        embedding_dim: int | None = None,
        hidden: tuple[int, ...] | None = None,
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 60,
        support_contamination: float = 0.0,
        adversarial_eps: float = 0.0,
        max_epochs: int | None = None,
        episodes_per_epoch: int | None = None,
        batch_size: int = 16,
        lr: float | None = None,
        scaler: Any = "auto",
        threshold: Any = "auto",
        alpha: float = 0.05,
        contamination: Any = "auto",
        outlier_label: Any = "auto",
        categorical_features: Any = "from_dtype",
        clean_support: bool | str = False,
        max_context: int = 2000,
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
        self.categorical_features = categorical_features
        self.embedding = embedding
        self.evidence = evidence
        self.embedding_dim = embedding_dim
        self.hidden = hidden
        self.adversarial_eps = adversarial_eps
        self.scaler = scaler

    # --- hooks of the base class ------------------------------------------------------------------
    def _check_parameters(self) -> None:
        resolve_evidence(self.evidence)
        check_layers("hidden", self.hidden)
        alone = {
            "hidden": None,
            "adversarial_eps": 0.0,
        }  # of the other embedding, and their default
        if self.embedding == "mlp":
            alone = {"evidence": None}
        for name, usual in alone.items():
            if getattr(self, name) != usual:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} does not apply to "
                    f"embedding={self.embedding!r}: leave it at {usual!r}, or choose the other "
                    "embedding."
                )

    @property
    def _may_validate(self) -> bool:
        return self.embedding == "mlp"  # with five groups of tasks

    def _check_state(self, state: MetaState) -> None:
        super()._check_state(state)
        if self._categories.positions:
            first = self._categories.positions[0]
            raise ValueError(
                f"Column {self._names_of_columns()[first]!r} holds categories, and this "
                f"{type(self).__name__} was meta-fitted on numbers. Use InContextDetector, or "
                "meta-fit make_table_pipeline(detector) by meta_fit_pipeline."
            )

    def _method(self) -> PooledMethod | NetworkMethod:
        return PooledMethod(self) if self.embedding == "pooled" else NetworkMethod(self)

    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        return self._method().meta_train(tasks, self._sampler(tasks, seed), seed)

    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        return self._method().untrained_state(X, y)

    def _module(self, state: MetaState) -> nn.Module:
        return self._method().module(state)

    def _represent(self, support: SupportSet, state: MetaState) -> Representation:
        return self._method().represent(support.X, support.y, state)

    def _architecture_value(self, name: str) -> Any:
        value = getattr(self, name)
        if name == "evidence" and value is not None:
            return [e.name for e in resolve_evidence(value)]
        return super()._architecture_value(name)

    def _write_scores(self, graph: Graph, X: str, adaptation: Adaptation) -> str:
        if adaptation.method.embedding != "mlp":
            return super()._write_scores(graph, X, adaptation)
        return write_network(graph, X, adaptation)

    def _left_out_scores(self, adaptation: Adaptation) -> Array:
        if adaptation.method.embedding == "mlp":
            return super()._left_out_scores(adaptation)
        return adaptation.score_support()

    # --- explanations -----------------------------------------------------------------------------
    @available_if(_weighs_evidence)
    def evidence_scores(self, X: Any) -> dict[str, Array]:
        """Compute how much each kind of evidence adds to the anomaly scores of rows.

        Only for ``embedding="pooled"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to explain.

        Returns
        -------
        contributions : dict of str to ndarray of shape (n_samples,)
            Name of the evidence -> its weighted score; they add up to ``-score_samples(X)``.
            "missing_entries" and "rare_categories" are what these add, where there are any.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_fsad import ProtoNetDetector
        >>> X = np.random.default_rng(0).normal(size=(40, 2))
        >>> parts = ProtoNetDetector().fit(X).evidence_scores([[9.0, 0.0]])
        >>> sorted(name for name in parts if parts[name] > 0)
        ['mahalanobis_raw', 'mahalanobis_scaled', 'nearest_scaled']
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        adaptation = self._adaptation
        evidence = adaptation.in_blocks(adaptation.represent, rows)
        own = adaptation.lookup.find(rows)
        evidence[own >= 0] = adaptation.representation.support[own[own >= 0]]
        weighted = evidence * adaptation.values["weights"]
        parts = dict(zip(self.state_.architecture["evidence"], weighted.T, strict=True))
        return parts | adaptation.parts_of_entry_scores(rows)

    # --- transform --------------------------------------------------------------------------------
    def transform(self, X: Any) -> Array:
        """Embed rows in the space where distances to the prototypes are computed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_embedding)
            For "pooled" the coordinates whitened by the pooled covariance, relative to the mean of
            the normal training rows, or the scaled features if nothing was pooled. For "mlp" the
            learned embedding.
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        return self._adaptation.in_blocks(self._embed, rows)

    @property
    def _n_features_out(self) -> int:
        return self._embed(self.support_X_[:1]).shape[1]

    def _embed(self, X: Array) -> Array:
        adaptation = self._adaptation
        method = adaptation.method._method()
        with usual_torch():
            return method.embed(adaptation.module, adaptation.representation, adaptation.numbers(X))

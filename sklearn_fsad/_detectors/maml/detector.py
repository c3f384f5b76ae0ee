"""Detect anomalies by gradient-based meta-learning: a few steps adapt networks to a task."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from torch import nn

from ..._input.labels import ANOMALOUS, PADDING
from ..._onnx.graph import Graph
from ..._state import MetaState
from ..._stats.moments import are_embeddings
from ..._training.layers import aligned
from ..._training.progress import phase
from ..._typing import Array, Codes
from ...tasks._task_set import TaskSet
from ..base.adaptation import Adaptation, Representation
from ..base.checks import check_layers
from ..base.detector import BaseFewShotDetector
from ..base.documentation import with_shared_parameters
from ..base.support_set import SupportSet
from .ensemble import NetworkEnsemble, scores_after, sizes_of
from .export import write_networks
from .inner_loop import ALGORITHMS, ClosedFormOnly
from .learners import LEARNERS
from .learning import closed_form_state, learned_state, module_of, represent, self_taught_state
from .report import adaptation_advice, adaptation_report, warn_if_worse


def _reconstructs(detector: MAMLDetector) -> bool:
    return bool(detector._in_force("learner") == "autoencoder")


@with_shared_parameters
class MAMLDetector(BaseFewShotDetector):
    """Adapt networks to each task by a few gradient steps; past tasks teach where to start.

    ``meta_fit`` learns initial weights from which a few gradient steps are enough [1]_. Networks
    correct a default formula, the weighted evidence of :class:`ProtoNetDetector`: six of them, each
    trained without a third of the tasks, on which is chosen how much of their mean correction to
    use. Choose this detector for similar tasks, such as recordings of one kind of machine; for
    tasks that differ choose :class:`ProtoNetDetector`.

    Without ``meta_fit`` the detector is the default formula; with ``residual=False`` it first
    trains on episodes made from the rows given to ``fit``.

    Parameters
    ----------
    learner : {"classifier", "autoencoder", "svdd"}, default="classifier"
        Network to adapt: a classifier, which is given injected anomalies if no training row is
        labelled as an anomaly; an autoencoder, scored by its reconstruction error; or a hypersphere
        around a meta-learned centre [2]_, scored by the distance from it. The last two learn to
        give labelled anomalies a larger error.
    algorithm : {"maml", "fomaml", "anil", "metasgd", "reptile"}, default="maml"
        MAML differentiates through the steps; first-order MAML does not and takes less than half
        the time; ANIL [3]_ adapts only the last layer; Meta-SGD [4]_ learns a learning rate for
        every weight; Reptile [5]_ moves the initial weights towards the adapted ones.
    n_inner_steps : int, default=5
        Number of gradient steps of an adaptation; 0 trains one network for all tasks, without
        adaptation, as a baseline.
    inner_lr : "learned" or float, default="learned"
        Learning rate of the steps; "learned" learns one for each layer and step, starting at 0.3.
        Meta-SGD always learns the rates, and a number is their start. Reptile learns none.
    inner_batch : {"as-given", "one-class"}, default="as-given"
        Rows that the steps use: all training rows of a task, in meta-training with as few anomalies
        as at test, or only the normal ones [6]_. The rows to score in meta-training are balanced.
    residual : bool, default=True
        Whether the network corrects the default formula; if False, the network alone gives the
        score.
    augment : "auto" or bool, default=False
        Whether to permute the features of training episodes and flip their signs, so that the
        network cannot memorise which feature changes in anomalies, and in which direction; "auto"
        chooses on held-out tasks, and takes twice as long.
    inject : bool, default=True
        Whether the classifier is given injected anomalies if no anomaly is labelled; else its steps
        see one class only. The other learners ignore it.
    multi_step_loss : bool, default=False
        Whether the training loss includes the scores after every step [7]_, not the last alone.
    gate : bool, default=True
        Whether held-out tasks choose how much of the correction is used: a quarter where they are
        few, and nearer to the best share the more groups of them there are. If False, one network
        learns from all tasks, and its whole correction is used. With ``residual=False`` networks
        are always used, with a warning if they lose to the default formula.
    hidden : tuple of int, default=None
        Hidden layers; None means ``(64, 64)``, and ``(64,)`` on each side of the autoencoder.
    embedding_dim : int, default=None
        Width of the autoencoder's bottleneck (None: a third of the features) or of the
        hypersphere (None: 16). The classifier ignores it.
    {n_normal}
    {n_query}
    {support_contamination}
    max_epochs : int, default=7
        Epochs of meta-training; 0 keeps the default formula, which needs ``residual=True``.
    episodes_per_epoch : int, default=None
        Number of episodes; they are the same in every epoch, with new augmentation. None means 48
        per task, at most 960.
    batch_size : int, default=8
        Episodes per meta-step.
    lr : float, default=None
        Highest learning rate of the meta-steps: the rate rises once and then falls. None means
        0.004.
    scaler : {"auto", "none", "task", "robust", "shrunk"} or transformer, default="auto"
        Scaling of the features for the network, the same in every episode and in ``fit``; the
        default formula has its own scaling. "auto" is "shrunk".
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
    adaptation_report_ : dict
        Loss of the support at each step, and the change of its scores by other adaptations.
    {offset_}
    state_ : MetaState
        The meta-learned state that ``fit`` started from; ``state_.info["held_out"]`` holds the ROC
        AUC of networks and baselines on held-out tasks, and the share of the correction in use.
    {support_X_}
    {support_y_}
    {support_kept_}
    {n_features_in_}
    {feature_names_in_}

    Notes
    -----
    The memory of ``fit`` does not depend on ``n_inner_steps``. The memory that a meta-step of
    ``meta_fit`` needs for its gradient grows with every step that is differentiated through: with
    the defaults, 8 tasks of at most 82 rows and 8 features, by 1.5 MiB a step for "maml", 1.9 for
    "metasgd" and 0.2 for "anil"; at first order by 0.2 MiB, the weights, for "fomaml", and by
    nothing for "reptile". It is proportional to ``batch_size``, to the rows and to the layers.

    References
    ----------
    .. [1] C. Finn, P. Abbeel and S. Levine, "Model-agnostic meta-learning for fast adaptation of
       deep networks", ICML 2017.
    .. [2] L. Ruff et al., "Deep one-class classification", ICML 2018.
    .. [3] A. Raghu et al., "Rapid learning or feature reuse? Towards understanding the
       effectiveness of MAML", ICLR 2020.
    .. [4] Z. Li et al., "Meta-SGD: learning to learn quickly for few-shot learning", 2017.
    .. [5] A. Nichol, J. Achiam and J. Schulman, "On first-order meta-learning algorithms", 2018.
    .. [6] A. Frikha et al., "Few-shot one-class classification via meta-learning", AAAI 2021.
    .. [7] A. Antoniou, H. Edwards and A. Storkey, "How to train your MAML", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import MAMLDetector
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(10, 4)), rng.normal(3, 1, size=(2, 4))])
    >>> y = np.array([1] * 10 + [-1] * 2)
    >>> detector = MAMLDetector(residual=False, random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0, 0.0, 0.0], [4.0, 4.0, 4.0, 4.0]])
    array([ 1, -1])
    """

    _architecture = (
        "learner",
        "algorithm",
        "n_inner_steps",
        "inner_lr",
        "inner_batch",
        "residual",
        "inject",
        "hidden",
        "embedding_dim",
        "scaler",
    )
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseFewShotDetector._parameter_constraints,
        "learner": [StrOptions(set(LEARNERS))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_inner_steps": [Interval(Integral, 0, None, closed="left")],
        "inner_lr": [StrOptions({"learned"}), Interval(Real, 0, None, closed="neither")],
        "inner_batch": [StrOptions({"as-given", "one-class"})],
        "residual": ["boolean"],
        "augment": [StrOptions({"auto"}), "boolean"],
        "inject": ["boolean"],
        "multi_step_loss": ["boolean"],
        "gate": ["boolean"],
        "hidden": [None, tuple],
        "embedding_dim": [None, Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        learner: str = "classifier",
        algorithm: str = "maml",
        n_inner_steps: int = 5,
        inner_lr: Any = "learned",
        inner_batch: str = "as-given",
        residual: bool = True,
        augment: Any = False,
        inject: bool = True,
        multi_step_loss: bool = False,
        gate: bool = True,
        hidden: tuple[int, ...] | None = None,
        embedding_dim: int | None = None,
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 60,
        support_contamination: float = 0.0,
        max_epochs: int = 7,
        episodes_per_epoch: int | None = None,
        batch_size: int = 8,
        lr: float | None = None,
        scaler: Any = "auto",
        threshold: Any = "auto",
        alpha: float = 0.05,
        contamination: Any = "auto",
        outlier_label: Any = "auto",
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
        self.learner = learner
        self.algorithm = algorithm
        self.n_inner_steps = n_inner_steps
        self.inner_lr = inner_lr
        self.inner_batch = inner_batch
        self.residual = residual
        self.augment = augment
        self.inject = inject
        self.multi_step_loss = multi_step_loss
        self.gate = gate
        self.hidden = hidden
        self.embedding_dim = embedding_dim
        self.scaler = scaler

    # --- hooks of the base class ------------------------------------------------------------------
    def _check_parameters(self) -> None:
        check_layers("hidden", self.hidden)
        if self.algorithm == "reptile" and not self.n_inner_steps:
            raise ValueError(
                "algorithm='reptile' with n_inner_steps=0 learns nothing: it moves the initial "
                "weights towards adapted ones. Use n_inner_steps=1 or more, or another algorithm."
            )

    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        sampler = self._sampler(tasks, seed)
        tasks.one_feature_space()
        settings = self._net_settings(lr=4e-3, seed=seed)
        if not self.residual:
            if not settings.max_epochs:
                raise ValueError(
                    "max_epochs=0 with residual=False leaves nothing to score with: train the "
                    "network, or use residual=True."
                )
            sampler.require("The network needs some: add such tasks, or use residual=True.")
        sampler.warn_if_empty("the default formula is used")
        n_episodes = 0
        if sampler.drawable:
            n_episodes = self.episodes_per_epoch or min(48 * len(sampler.drawable), 960)
        return learned_state(
            self,
            tasks,
            sampler,
            n_episodes,
            settings,
            embedding=all(are_embeddings(task.normals) for task in tasks),
            augment=self.augment,
            gate=self.gate,
            n_tasks=tasks.n_tasks,
        )

    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        if self.residual:
            return closed_form_state(self, X[y != ANOMALOUS])
        with phase(f"no meta_fit: learning from the {len(X)} rows of fit"):
            return self_taught_state(self, X, y)

    def _module(self, state: MetaState) -> nn.Module:
        if sizes_of(state.arrays) is None:
            return ClosedFormOnly()
        return module_of(self, state)

    def _represent(self, support: SupportSet, state: MetaState) -> Representation:
        return represent(self, support.X, support.y, state)

    def _write_scores(self, graph: Graph, X: str, adaptation: Adaptation) -> str:
        if adaptation.method.residual:
            return super()._write_scores(graph, X, adaptation)
        return write_networks(graph, X, adaptation)

    def _left_out_scores(self, adaptation: Adaptation) -> Array:
        """Score each row of the support by a network that adapted to the others.

        All networks are adapted at once. The leave-one-out score of a normal row is at least its
        score by the network that adapted to all rows.
        """
        if not isinstance(adaptation.module, NetworkEnsemble):
            return adaptation.score_support()
        X, y = adaptation.support.X, adaptation.support.y
        in_sample = adaptation.score_fresh(X)
        fold, rows = adaptation.support.folds(), np.arange(len(y))
        labels = np.repeat(adaptation.representation.support_y[None], fold.max() + 1, axis=0)
        labels[fold, rows] = PADDING
        left_out = scores_after(adaptation, labels)[fold, rows] + adaptation.support_entry_scores()
        return np.where(y == ANOMALOUS, left_out, np.maximum(left_out, in_sample))

    # --- report on the steps ----------------------------------------------------------------------
    @property
    def adaptation_report_(self) -> dict[str, Any]:
        """Loss of the support at each step, and the change of its scores by other adaptations.

        ``used`` is "network" or "closed form", the default formula; ``size`` is the share of the
        correction that is used. ``support_loss`` lists the mean loss of the networks before the
        first step and after each step. ``score_change`` says how much the ranking of the
        training rows would change without any step ("not adapted"), with steps on rows whose
        features were shuffled ("swapped support"), and with permuted labels ("permuted labels"):
        one minus Spearman's correlation. Values near 0 mean that the training rows hardly matter:
        the network has memorised past tasks, or its adaptation has no effect.
        """
        self._check_fitted()
        return adaptation_report(self._adaptation)

    def _about_adaptation(self) -> tuple[dict[str, Any], list[str]]:
        report = self.adaptation_report_
        return report, adaptation_advice(report)

    @available_if(_reconstructs)
    def feature_errors(self, X: Any) -> Array:
        """Compute the reconstruction error of each feature of rows.

        Only for ``learner="autoencoder"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        errors : ndarray of shape (n_samples, n_features)
            Squared reconstruction error of each input of the network, in units of the spread of the
            training rows, logarithmic for far values. With more than 100 features the network reads
            32 principal directions, and the errors are those of the directions.
        """
        self._check_fitted()
        rows = self._validated(X, reset=False)
        adaptation = self._adaptation
        if not isinstance(adaptation.module, NetworkEnsemble):
            raise ValueError(
                "There is no autoencoder: without meta_fit, or from a single group of tasks, none "
                "is trained. Use gate=False, or residual=False."
            )

        def errors(part: Array) -> Array:
            Z = aligned(adaptation.represent(part))
            with torch.no_grad():
                return adaptation.module.feature_errors(adaptation.tensors, Z).numpy()

        return adaptation.in_blocks(errors, rows)

    def _fit_support(self, X: Array, codes: Codes, trust: Array | None) -> None:
        super()._fit_support(X, codes, trust)
        warn_if_worse(self._adaptation, self.n_inner_steps)

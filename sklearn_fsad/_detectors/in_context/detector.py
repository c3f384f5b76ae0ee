"""InContextDetector: a network trained on synthetic tables reads how to score a new one."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from ..._input.labels import ANOMALOUS, UNLABELLED
from ..._state import MetaState, resolve_state
from ..._typing import Array, Codes, Mask
from ...tasks._task_set import TaskSet
from ..base.detector import BaseFewShotDetector
from .cleaning import trusted
from .closed_form import closed_form, kinds_of
from .module import ContextMix, module_of
from .representation import TableDescription
from .training import fine_tune

_SHIPPED = "tabular-v1"
_CLOSED_FORM = {"closed": closed_form(), "departs": np.zeros((2, 2))}


class InContextDetector(BaseFewShotDetector):
    """Anomalies of any table by weights that were learned before, on synthetic tables.

    Rows are described relative to the support in terms that do not depend on units or on the number
    of columns: distances to neighbours in several coordinate systems, local densities, principal
    components, tails, and, with labelled anomalies, what tells these from the normals. A small
    network, a conditional neural process [1]_ whose weights come with the package, reads from the
    support how much each of them counts. ``fit`` trains nothing but a few dozen trees.

    ``meta_fit`` fine-tunes the weights on tasks of one's own, of any widths, and keeps those that
    came with the package where held-out tasks do not get better. Tasks that share their columns are
    also described by what they have in common: how normals vary, and along which directions
    anomalies leave. Called again, it starts from the weights that came with the package again.

    Rows marked as unlabelled may hold anomalies: those that are farthest from the others, a fifth
    of them and fewer the more anomalies are labelled, are not compared with. Without any ``y`` all
    rows are taken for normal.

    More than 100 columns of values that rarely repeat are taken for the coordinates of an
    embedding, and columns are then not looked at one by one.

    Parameters
    ----------
    max_context : int, default=1000
        Most normal rows to compare with; of more, a random part is taken. All labelled anomalies
        are kept.
    n_normal, n_anomalous : tuple of (int, int), default=(5, 50) and (0, 10)
        Lowest and highest number of normal and of anomalous shots in a training episode.
    n_query : int, default=60
        Rows of a training episode to score.
    support_contamination : float in [0, 0.5], default=0.0
        Robust meta-training: highest share of anomalies among the normal shots of a training
        episode, each of which draws its own. Try 0.2 where nobody has looked at the supports.
    max_epochs : int, default=30
        Most epochs of fine-tuning; 0 keeps the weights as they are.
    episodes_per_epoch : int, default=None
        None means 24 for each task, 480 at most.
    batch_size : int, default=32
        Episodes per training step.
    lr : float, default=None
        Highest rate of the training steps; None means 0.002.
    threshold : {"auto", "conformal", "f1"}, callable or PyThresh object, default="auto"
        How left-out support scores become the threshold, where ``contamination="auto"``; see
        :mod:`sklearn_fsad.thresholds`.
    alpha : float, default=0.05
        Rate of false alarms that the threshold aims at.
    contamination : "auto" or float in (0, 0.5], default="auto"
        A number flags that share of the rows given to ``fit``, as in scikit-learn, each judged by
        the others. For a rate of false alarms keep "auto".
    outlier_label : "auto", number or str, default="auto"
        Label of the anomalies; "auto" reads the codings of scikit-learn and PyOD.
    clean_support : bool or "all", default=False
        Whether to doubt the normal rows of the support too, as if they were unlabelled; see
        ``support_kept_``. "all" also doubts the labelled anomalies that the others find normal;
        else they stay.
    pretrained : MetaState, str or path, default="tabular-v1"
        The weights that came with the package, or those that ``meta_fit`` set; None stands for the
        closed form they depart from.
    device : str, default="cpu"
        Where the network trains.
    net_params : dict, default=None
        More settings of the skorch net that trains.
        ``{"accelerator": accelerate.Accelerator}`` lets processes share ``meta_fit``.
    callbacks : list, default=None
        skorch callbacks of the training; cloned, never changed.
    verbose : int, default=0
        1 shows progress bars.
    random_state : int, RandomState or None, default=None
        Seed of everything random.

    Attributes
    ----------
    offset_ : float
        ``decision_function = score_samples - offset_``.
    state_ : MetaState
        The state that ``fit`` adapted.
    support_X_ : ndarray of shape (n_support, n_features)
        Support rows.
    support_y_ : ndarray of shape (n_support,)
        Their labels: 0 normal, 1 anomalous, -1 unlabelled.
    support_kept_ : ndarray of shape (n_support,), dtype bool
        Rows that were learned from: all but those that ``clean_support`` doubts.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where ``fit`` saw any.

    References
    ----------
    .. [1] M. Garnelo et al., "Conditional neural processes", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_fsad import InContextDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> InContextDetector().fit(X).predict([[0.1, 0.0, -0.2], [6.0, -6.0, 6.0]])
    array([ 1, -1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        name: constraint
        for name, constraint in BaseFewShotDetector._parameter_constraints.items()
        if name != "scaler"
    } | {"max_context": [Interval(Integral, 10, None, closed="left")]}

    def __init__(
        self,
        *,
        max_context: int = 1000,
        n_normal: tuple[int, int] = (5, 50),
        n_anomalous: tuple[int, int] = (0, 10),
        n_query: int = 60,
        support_contamination: float = 0.0,
        max_epochs: int = 30,
        episodes_per_epoch: int | None = None,
        batch_size: int = 32,
        lr: float | None = None,
        threshold: Any = "auto",
        alpha: float = 0.05,
        contamination: Any = "auto",
        outlier_label: Any = "auto",
        clean_support: bool | str = False,
        pretrained: Any = _SHIPPED,
        device: str = "cpu",
        net_params: dict[str, Any] | None = None,
        callbacks: list[Any] | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.max_context = max_context
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
        self.pretrained = pretrained
        self.device = device
        self.net_params = net_params
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state

    # --- what the shell asks for ------------------------------------------------------------------
    def _meta_train(self, tasks: TaskSet, seed: int) -> MetaState:
        arrays, info = self._start()
        info |= {"n_tasks": tasks.n_tasks}
        sampler = self._sampler(tasks, seed)
        sampler.warn_if_empty("the weights stay as they were")
        if not sampler.drawable:
            return MetaState(type(self).__name__, {}, arrays, None, info=info)
        tuned = fine_tune(
            arrays,
            tasks,
            sampler,
            self.episodes_per_epoch or min(24 * len(sampler.drawable), 480),
            self._net_settings(lr=2e-3, seed=seed),
        )
        info |= {
            "evidence": [e.name for e in kinds_of(tuned.arrays)],
            "held_out": [report.to_info() for report in tuned.reports],
            "history": tuned.history,
        }
        return MetaState(type(self).__name__, {}, tuned.arrays, None, info=info)

    def _untrained_state(self, X: Array, y: Codes) -> MetaState:
        return MetaState(type(self).__name__, {}, _CLOSED_FORM, None, info={"n_tasks": 0})

    def _start(self) -> tuple[Mapping[str, Array], dict[str, Any]]:
        """Arrays to tune and where they are from: after a ``meta_fit`` those it started from."""
        state, name = resolve_state(self.pretrained), self.pretrained
        if state is not None and "start" in state.info:
            name = state.info["start"]
            state = resolve_state(name)
        known = {"start": name} if name in (None, _SHIPPED) else {}
        return (_CLOSED_FORM if state is None else state.arrays), known

    def _check_state(self, state: MetaState) -> None:
        super()._check_state(state)
        known = [e.name for e in kinds_of(state.arrays)]
        learned = state.info.get("evidence", known)
        if learned != known:
            raise ValueError(
                f"pretrained weighs {len(learned)} kinds of evidence, this version has "
                f"{len(known)}, not all the same: call meta_fit again."
            )

    def _module(self, state: MetaState) -> ContextMix:
        return module_of(state.arrays)

    def _believed_normals(self, X: Array, codes: Codes, given: MetaState | None) -> Mask:
        """All but the rows farthest from the others: what it doubts when they are unlabelled."""
        normal = np.flatnonzero(codes != ANOMALOUS)
        normal = normal[np.lexsort(X[normal].T[::-1])]
        kept = trusted(X[normal], np.ones(len(normal), dtype=bool), len(X) - len(normal))
        return np.isin(np.arange(len(X)), normal[kept])

    def _represent(self, X: Array, y: Codes, state: MetaState) -> TableDescription:
        doubtful = None  # has been dealt with
        if not self.clean_support:
            doubtful = (self.support_y_ == UNLABELLED)[self._support_order()]
        return TableDescription(X, y, state.arrays, self.max_context, doubtful)

    def _left_out_scores(self, X: Array, y: Codes) -> Array:
        """Of rows in the context from the others; the rest are fresh as they are."""
        described = self._adapted.representation
        scores = np.empty(len(X))
        fresh = np.setdiff1d(np.arange(len(X)), described.rows)
        if len(fresh):
            scores[fresh] = self._in_blocks(self._adapted.score, X[fresh])
        scores[described.rows] = self._adapted.score_represented(described.support)
        return scores

    def _reference_normals(self) -> Array:
        """Those of the context: rows that are doubted are nothing to compare with."""
        X, y = self._ordered_support()
        rows = self._adapted.representation.rows
        return X[rows[y[rows] != ANOMALOUS]]

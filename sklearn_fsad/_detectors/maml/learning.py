"""Make states of a detector that adapts a network: from tasks, from one support or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..._evidence.calibration import CalibratedEvidence
from ..._evidence.episodes import DRAWING_COST, FoldedEvidence, Observation, observe
from ..._evidence.kinds import EVIDENCE, Evidence
from ..._evidence.mix import CLOSED_FORM, EvidenceMix, default_weights
from ..._evidence.mix_training import MIX_EPOCHS, learn_mix, work_of_mix
from ..._input.labels import ANOMALOUS, INJECTED
from ..._state import MetaState
from ..._stats.moments import are_embeddings
from ..._stats.ranking import LEAST_GROUPS
from ..._stats.scaling import ScaledSupport, check_width
from ..._training.held_out import CORRECTED, REGIMES
from ..._training.progress import expect_more, log_verdicts
from ..._training.settings import TrainingSettings
from ..._typing import Array, Codes
from ..._warn import warn
from ...exceptions import AdaptationWarning
from ...tasks._episodes import EpisodeSampler
from ...tasks._task_set import TaskSet
from ..base.detector import BaseFewShotDetector
from .ensemble import NetworkEnsemble, sizes_of
from .episodes import PreparedEpisode, prepare_episode
from .injection import inject_anomalies, tasks_from_rows
from .inner_loop import GradientAdaptation
from .learners import Learner, make_learner
from .representation import EvidenceRepresentation, FeatureMap, FeatureRepresentation
from .training import Trained, learn_to_adapt, work_of_training

_START_RATE = 0.3
_MIX_EPISODES = 480
_SELF_TAUGHT_EPISODES, _SELF_TAUGHT_EPOCHS = 32, 8


# --- states ---------------------------------------------------------------------------------------
def closed_form_state(detector: BaseFewShotDetector, normals: Array) -> MetaState:
    """Make the state of a detector that learned nothing: its default weights."""
    evidence = _evidence(needs_pooled=False)
    arrays = {"closed": default_weights(evidence, are_embeddings(normals))}
    return _state(detector, evidence, arrays, normals.shape[1])


def self_taught_state(detector: BaseFewShotDetector, X: Array, y: Codes) -> MetaState:
    """Train a network on episodes that are made out of one support."""
    seed = detector._seed()
    tasks = tasks_from_rows(X, y, seed)
    n, k = min(int((y != ANOMALOUS).sum()), 40), min(int((y == ANOMALOUS).sum()), 16)
    sampler = EpisodeSampler(tasks, n_normal=(n, n), n_anomalous=(k, k), n_query=40, seed=seed)
    settings = detector._net_settings(lr=4e-3, seed=seed)
    settings = replace(settings, max_epochs=_SELF_TAUGHT_EPOCHS, accelerator=None)
    return learned_state(
        detector,
        tasks,
        sampler,
        _SELF_TAUGHT_EPISODES,
        settings,
        embedding=are_embeddings(X[y != ANOMALOUS]),  # jitter hides repeated values
        augment=False,
        gate=False,
    )


def learned_state(
    detector: BaseFewShotDetector,
    tasks: TaskSet,
    sampler: EpisodeSampler,
    n_episodes: int,
    settings: TrainingSettings,
    *,
    embedding: bool,
    augment: str | bool,
    gate: bool,
    n_tasks: int = 0,
) -> MetaState:
    """Pool statistics over tasks, and train a network on episodes drawn from them.

    Parameters
    ----------
    detector : MAMLDetector
        The detector whose parameters are used.
    tasks : TaskSet
        Training tasks.
    sampler : EpisodeSampler
        Draws the episodes.
    n_episodes : int
        Episodes in an epoch; 0 trains nothing.
    settings : TrainingSettings
        Settings of the training of the network.
    embedding : bool
        Whether rows are embeddings.
    augment, gate
        As in :func:`learn_to_adapt`.
    n_tasks : int, default=0
        Number of past tasks that the state is from.
    """
    seed, folds = settings.seed, tasks.folds(5, settings.seed)
    evidence = _evidence(needs_pooled=len(folds) > 1)
    if not detector.residual and not gate:
        evidence = ()  # nothing to correct and nothing to compare with
    folded = FoldedEvidence(tasks, evidence, "none", None)
    pooled, n_features = folded.pooled(), tasks[0].X.shape[1]
    closed = default_weights(evidence, embedding)
    arrays = {"closed": closed}
    arrays |= {} if pooled is None else pooled.to_arrays()
    info: dict[str, Any] = {"n_tasks": n_tasks, "seed": seed}
    architecture: dict[str, Any] = {}
    if n_episodes and settings.max_epochs:
        training = work_of_training(augment, gate, len(folds))
        expect_more(
            n_episodes * (DRAWING_COST + settings.max_epochs * training)
            + work_of_mix(n_episodes, MIX_EPOCHS, len(folds))
        )
        observations = observe(
            folded,
            sampler,
            n_episodes,
            folds,
            inject=lambda e, i: _injected(detector, e.support_X, e.support_y, [seed, i]),
        )
        feature_map = FeatureMap.from_tasks(tasks, _scaler(detector), embedding)
        prepared, learned = _prepared(detector, observations, evidence, closed, feature_map, seed)
        shape = _shape(detector, prepared[0].episode.support_X.shape[1], len(evidence))
        trained = learn_to_adapt(
            prepared,
            lambda: GradientAdaptation(_learner(detector, shape), **_inner(detector)),
            augment=augment,
            gate=gate,
            needed=not detector.residual,
            settings=settings,
        )
        arrays |= learned | feature_map.to_arrays() | _network_arrays(detector, trained, gate)
        architecture = {name: shape[name] for name in ("embedding_dim", "hidden")}
        reports = trained.reports
        if not (gate and detector.residual):  # the whole network is used, whatever they say
            reports = [report.using("network") for report in reports]
        info |= {"network": shape, "held_out": [report.to_info() for report in reports]}
        info |= {"history": trained.history, "permuted_features": trained.permuted}
    names = tasks.feature_names_in
    return _state(detector, evidence, arrays, n_features, names, architecture, info)


def _state(
    detector: BaseFewShotDetector,
    evidence: Sequence[Evidence],
    arrays: dict[str, Array],
    n_features: int,
    feature_names: Any = None,
    architecture: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
) -> MetaState:
    own = {name: detector._architecture_value(name) for name in detector._architecture}
    shots = {"n_normal": list(detector.n_normal), "n_anomalous": list(detector.n_anomalous)}
    facts = {"evidence": [e.name for e in evidence], "n_tasks": 0, **shots, **(info or {})}
    learned = {**own, **(architecture or {})}
    return MetaState(type(detector).__name__, learned, arrays, n_features, feature_names, facts)


# --- the closed form ------------------------------------------------------------------------------
def _evidence(needs_pooled: bool) -> tuple[Evidence, ...]:
    """List the evidence of the closed form, with or without that pooled from tasks."""
    return tuple(e for e in EVIDENCE.values() if needs_pooled or not e.needs_pooled)


def _prepared(
    detector: BaseFewShotDetector,
    observations: Sequence[Observation],
    evidence: Sequence[Evidence],
    closed: Array,
    feature_map: FeatureMap,
    seed: int,
) -> tuple[list[PreparedEpisode], dict[str, Array]]:
    """Prepare episodes for the network; also return the learned closed form as arrays."""
    mixes, learned = _closed_forms(detector, observations, evidence, closed, seed)
    if "typical_spread" in learned:
        observations = [o.shrunk_to(learned["typical_spread"]) for o in observations]
    residual = detector.residual
    return [prepare_episode(o, mixes[o.fold], feature_map, residual) for o in observations], learned


def _closed_forms(
    detector: BaseFewShotDetector,
    observations: Sequence[Observation],
    evidence: Sequence[Evidence],
    closed: Array,
    seed: int,
) -> tuple[dict[int, EvidenceMix], dict[str, Array]]:
    """Learn the closed form without each fold of tasks, and from all of them as arrays."""

    def new_mix(**given: Any) -> EvidenceMix:
        return EvidenceMix(closed, detector.n_normal, detector.n_anomalous, **given)

    folds = {o.fold for o in observations}
    if not detector.residual:
        return dict.fromkeys(folds, new_mix(choice=(CLOSED_FORM, CLOSED_FORM))), {}
    settings = TrainingSettings(lr=1.0, max_epochs=MIX_EPOCHS, seed=seed)
    learned = learn_mix(observations[:_MIX_EPISODES], evidence, new_mix, settings)
    log_verdicts(learned.info()["held_out"])
    thetas = {fold: learned.theta_without.get(fold, learned.theta) for fold in folds}
    mixes = {f: new_mix(theta=theta, choice=learned.choice) for f, theta in thetas.items()}
    return mixes, learned.arrays()


# --- the network ----------------------------------------------------------------------------------
def module_of(detector: BaseFewShotDetector, state: MetaState) -> NetworkEnsemble:
    """Make the networks of a state that has any."""

    def new_network() -> GradientAdaptation:
        return GradientAdaptation(_learner(detector, state.info["network"]), **_inner(detector))

    return NetworkEnsemble.from_arrays(state.arrays, new_network)


def represent(
    detector: BaseFewShotDetector, X: Array, y: Codes, state: MetaState
) -> EvidenceRepresentation | FeatureRepresentation:
    """Represent rows relative to a support, as input of the network."""
    features = FeatureMap.from_arrays(state.arrays, _scaler(detector)).features(X, y)
    adapts = sizes_of(state.arrays) is not None
    if adapts:
        check_width(features.support, state.info["network"]["n_features"])
    injected = _injected(detector, X, y, [state.info["seed"]]) if adapts else X[:0]
    if not detector.residual:
        return FeatureRepresentation(features, injected)
    kinds = [EVIDENCE[name] for name in state.info["evidence"]]
    scaled = ScaledSupport(X, y, "none")
    evidence = CalibratedEvidence.from_arrays(state.arrays, scaled, y, kinds)
    shots = {name: tuple(state.info[name]) for name in ("n_normal", "n_anomalous")}
    mix = EvidenceMix.from_arrays(state.arrays, **shots)
    return EvidenceRepresentation(features, evidence, mix, injected, closed_form_only=not adapts)


def _learner(detector: BaseFewShotDetector, shape: Mapping[str, Any]) -> Learner:
    """Make an untrained network of a shape that a state records."""
    return make_learner(detector.learner, **shape, residual=detector.residual)


def _inner(detector: BaseFewShotDetector) -> dict[str, Any]:
    """Return the arguments of :class:`GradientAdaptation` other than the network."""
    learned = detector.inner_lr == "learned"
    return {
        "algorithm": detector.algorithm,
        "n_steps": detector.n_inner_steps,
        "inner_lr": _START_RATE if learned else detector.inner_lr,
        "learn_rates": learned,
        "one_class": detector.inner_batch == "one-class",
        "multi_step_loss": detector.multi_step_loss,
    }


def _scaler(detector: BaseFewShotDetector) -> Any:
    """Return the scaler of the features of the network."""
    return "shrunk" if detector._scaler_follows else detector.scaler


def _injected(detector: BaseFewShotDetector, X: Array, y: Codes, seed: Sequence[int]) -> Array:
    """Inject anomalies for a classifier; none where it has labelled ones."""
    one_class = detector.inner_batch == "one-class" or not (y == ANOMALOUS).any()
    if detector.learner != "classifier" or not detector.inject or not one_class:
        return X[:0]
    return inject_anomalies(X[y != ANOMALOUS], np.random.default_rng([*seed, INJECTED]))


def _shape(detector: BaseFewShotDetector, n_columns: int, n_evidence: int) -> dict[str, Any]:
    """Return the shape of a network for rows of ``n_columns``, as keyword arguments."""
    n_evidence = n_evidence if detector.residual else 0
    n_features = n_columns - n_evidence - detector.residual
    usual = {
        "classifier": ((64, 64), None),
        "autoencoder": ((64,), max(2, n_features // 3)),
        "svdd": ((64, 64), 16),
    }
    hidden, width = usual[detector.learner]
    return {
        "n_features": n_features,
        "n_evidence": n_evidence,
        "hidden": list(hidden if detector.hidden is None else detector.hidden),
        "embedding_dim": width if detector.embedding_dim is None else detector.embedding_dim,
    }


def _network_arrays(
    detector: BaseFewShotDetector, trained: Trained, gate: bool
) -> dict[str, Array]:
    """Return the networks and how much of them to use; warn where held-out tasks do not help."""
    if gate:
        _warn_of_doubt(detector.residual, trained)
    if not trained.networks:
        return {}
    sizes = trained.sizes if detector.residual else (1.0, 1.0)
    return NetworkEnsemble(trained.networks, sizes).to_arrays()


def _warn_of_doubt(residual: bool, trained: Trained) -> None:
    """Warn where the network was not better on held-out tasks, or could not be compared."""
    option = CORRECTED if residual else "network"
    gains = {r.regime: r.roc_auc[option] - r.roc_auc["closed form"] for r in trained.reports}
    doubtful = [name for name in REGIMES if gains.get(name, 0.0) <= 0.0]
    if not doubtful:
        return
    supports = f"with {' and '.join(doubtful)} supports"
    if not residual:
        kept = "the network is used all the same"
    elif trained.networks:
        shares = {trained.sizes[REGIMES.index(name)] for name in doubtful}
        used = " and ".join(f"{share:.0%}" for share in sorted(shares))
        kept = f"{used} of its correction is used, and the default formula for the rest"
    else:
        kept = "the default formula is used"
    warn(
        f"On held-out tasks the network was not better than the default formula {supports}, or "
        f"there were fewer than {LEAST_GROUPS} groups of tasks to compare: {kept}. See "
        "pretrained.info['held_out'].",
        AdaptationWarning,
    )

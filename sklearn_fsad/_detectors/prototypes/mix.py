"""Score rows by a weighted mix of closed-form evidence from pooled prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._evidence.calibration import CalibratedEvidence
from ..._evidence.episodes import DRAWING_COST, FoldedEvidence, observe
from ..._evidence.kinds import EVIDENCE, Evidence, resolve_evidence
from ..._evidence.mix import EvidenceMix, default_weights
from ..._evidence.mix_training import MIX_EPOCHS, learn_mix, work_of_mix
from ..._input.labels import ANOMALOUS
from ..._state import MetaState
from ..._stats.moments import are_embeddings
from ..._stats.scaling import ScalePrior
from ..._training.progress import expect_more
from ..._training.settings import TrainingSettings
from ..._typing import Array, Codes
from ...tasks._episodes import EpisodeSampler
from ...tasks._task_set import TaskSet
from .method import Method


@dataclass(frozen=True)
class PooledMethod(Method):
    """Learn and apply the mix of evidence from pooled prototypes."""

    def meta_train(self, tasks: TaskSet, sampler: EpisodeSampler, seed: int) -> MetaState:
        """Pool the training tasks, and learn the mix if episodes can be drawn from them."""
        d, prior = self.detector, None
        if not self._fits_any_width():
            tasks.one_feature_space()
            prior = ScalePrior.from_normals(task.normals for task in tasks)
        evidence = resolve_evidence(d.evidence)
        folds = tasks.folds(5, seed)
        if len(folds) < 2:  # nothing to cross-fit pooled statistics with
            evidence = self._evidence_without_tasks("give at least two groups of tasks")
        scaler = "none" if d._scaler_follows else d.scaler
        folded = FoldedEvidence(tasks, evidence, scaler, prior, rank=d.embedding_dim)
        architecture = {
            "evidence": [e.name for e in evidence],
            "scaler": d._architecture_value("scaler") or "none",
            "hidden": None,
        }
        embedding = all(are_embeddings(task.normals) for task in tasks)
        closed, pooled = default_weights(evidence, embedding), folded.pooled()
        arrays = {"closed": closed} | ({} if pooled is None else pooled.to_arrays())
        info: dict[str, Any] = {}
        sampler.warn_if_empty("the default weights are kept")
        settings = self._settings(seed)
        if sampler.drawable and settings.max_epochs:
            n_episodes = d.episodes_per_epoch or min(24 * len(sampler.drawable), 480)
            expect_more(
                n_episodes * DRAWING_COST + work_of_mix(n_episodes, settings.max_epochs, len(folds))
            )
            observed = observe(folded, sampler, n_episodes, folds)
            learned = learn_mix(
                observed,
                evidence,
                lambda **given: EvidenceMix(closed, d.n_normal, d.n_anomalous, **given),
                settings,
            )
            arrays, info = {**arrays, **learned.arrays()}, learned.info()
        return self._learned(tasks, prior, architecture, arrays, info)

    def _settings(self, seed: int) -> TrainingSettings:
        """Return the settings of the training: those of L-BFGS unless the user has an optimiser."""
        if "optimizer" in (self.detector.net_params or {}):
            return self.detector._net_settings(lr=0.08, seed=seed, max_epochs=200)
        return self.detector._net_settings(lr=1.0, seed=seed, max_epochs=MIX_EPOCHS)

    def untrained_state(self, X: Array, y: Codes) -> MetaState:
        """Make the state of the default weights."""
        evidence = self._evidence_without_tasks("call meta_fit first")
        architecture = {"evidence": [e.name for e in evidence], "scaler": "none"}
        arrays = {"closed": default_weights(evidence, are_embeddings(X[y != ANOMALOUS]))}
        return self._without_tasks(X.shape[1], architecture, arrays)

    def module(self, state: MetaState) -> EvidenceMix:
        """Make the mix of a state."""
        shots = {name: tuple(state.info[name]) for name in ("n_normal", "n_anomalous")}
        return EvidenceMix.from_arrays(state.arrays, **shots)

    def represent(self, X: Array, y: Codes, state: MetaState) -> CalibratedEvidence:
        """Represent rows by evidence relative to a support."""
        scaled = self._scaled(X, y, state)
        return CalibratedEvidence.from_arrays(state.arrays, scaled, y, self._evidence_of(state))

    def embed(self, module: EvidenceMix, representation: CalibratedEvidence, X: Array) -> Array:
        """Embed rows in the pooled-whitened space: (m, d) -> (m, q)."""
        return representation.embed(X)

    def _fits_any_width(self) -> bool:
        """Return whether nothing that is learned belongs to a feature."""
        scaler = self.detector.scaler
        if not isinstance(scaler, str) or scaler == "shrunk":
            return False
        return not any(e.needs_pooled for e in resolve_evidence(self.detector.evidence))

    def _evidence_without_tasks(self, remedy: str) -> tuple[Evidence, ...]:
        """Select the evidence that needs nothing pooled; refuse pooled evidence given by name."""
        evidence = resolve_evidence(self.detector.evidence)
        named = self.detector.evidence or ()
        pooled = [e.name for e in evidence if e.needs_pooled and e.name in named]
        if pooled:
            raise ValueError(
                f"evidence {pooled} needs statistics pooled over training tasks: {remedy}."
            )
        return tuple(e for e in evidence if not e.needs_pooled)

    def _evidence_of(self, state: MetaState) -> tuple[Evidence, ...]:
        """List the evidence that a state weighs, including functions of the user."""
        own = [item for item in self.detector.evidence or () if callable(item)]
        known = {e.name: e for e in (*EVIDENCE.values(), *resolve_evidence(own or None))}
        missing = [name for name in state.architecture["evidence"] if name not in known]
        if missing:
            raise ValueError(
                f"The meta-learned state weighs evidence of your own named {missing}: pass these "
                "functions in evidence=."
            )
        return tuple(known[name] for name in state.architecture["evidence"])

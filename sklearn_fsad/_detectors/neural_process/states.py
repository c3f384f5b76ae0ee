"""Draft states of a neural process, and make the module of a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._state import MetaState
from ..._stats.moments import MOST_COLUMNS, are_embeddings
from ..._stats.scaling import ScaledSupport, ScalePrior
from ..._training.seeding import torch_seed
from ..._training.weights import from_arrays
from ..._typing import Array, Codes
from ..base.detector import BaseFewShotDetector
from .closed_forms import KernelAnchor, LinearAnchor
from .knowledge import Knowledge
from .masks import MaskPlan, chain_plan, scoring_plan
from .module import NeuralProcess
from .networks import make_network
from .reduction import Reduction
from .representation import MaskedRepresentation
from .targets import check_columns, check_grid, resolve_targets

ANCHORS = {"both": ("linear", "kernel"), "linear": ("linear",), "kernel": ("kernel",), "none": ()}
WEIGHT = "net."
_ORDERS, _CHAIN_BLOCKS = 4, 4
_WIDTH = 32
_PRIOR_ANOMALIES = 2.0


# --- before training ------------------------------------------------------------------------------
def check_process(detector: BaseFewShotDetector) -> None:
    """Refuse parameters that do not go together, whatever the rows are."""
    d, width = detector, detector.embedding_dim or _WIDTH
    if d.kind in ("anp", "tnp") and width % d.n_heads:
        raise ValueError(f"embedding_dim={width} is not a multiple of n_heads={d.n_heads}.")
    if d.reduce is not None and (d.target_features is not None or d.kind == "convcnp"):
        raise ValueError(
            f"reduce={d.reduce!r} allows neither target_features nor a grid: leave one out."
        )
    alone = "none" if d.target_features is not None and d.anchor == "auto" else d.anchor
    if d.max_epochs == 0 and alone == "none":
        raise ValueError(
            "max_epochs=0 leaves nothing to predict with: without a default formula "
            "(anchor='none', as with target_features) the network has to be trained."
        )


def draft(
    detector: BaseFewShotDetector,
    normals: Sequence[Array],
    seed: int,
    feature_names: Any,
    n_tasks: int,
) -> MetaState:
    """Make a state without the network and without what is pooled over tasks.

    Parameters
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    normals : sequence of ndarray of shape (n_t, d)
        Normal rows of each task.
    seed : int
        Seed that the state records.
    feature_names : sequence of str or None
        Names of the features.
    n_tasks : int
        Number of past tasks that the state is from; 0 for a support alone.
    """
    d, n_features = detector, normals[0].shape[1]
    names = None if feature_names is None else list(feature_names)
    targets = resolve_targets(d.target_features, n_features, names)
    check_grid(d.grid_shape, n_features)
    architecture = {name: d._architecture_value(name) for name in d._architecture}
    architecture["embedding_dim"] = d.embedding_dim or _WIDTH
    if architecture["scaler"] is None:
        of_table = "joint" if all(map(are_embeddings, normals)) else "task"
        architecture["scaler"] = of_table if targets is None else "pooled"
    prior = ScalePrior.from_normals(normals)
    arrays = prior.to_arrays() if architecture["scaler"] in ("shrunk", "pooled") else {}
    scaler = architecture["scaler"] if d._scaler_follows else d.scaler
    check_columns(scaler, normals[0])
    arrays |= _reduction_arrays(d, normals, prior, scaler, seed)
    reduction = Reduction.from_arrays(arrays)
    seen = n_features if reduction is None else reduction.n_codes + 1
    if d.anchor == "auto":
        of_table = "linear" if seen > MOST_COLUMNS else "both"
        architecture["anchor"] = of_table if targets is None else "none"
    info = {"n_tasks": n_tasks, "seed": seed, "targets": targets, "n_features": seen}
    return MetaState(type(d).__name__, architecture, arrays, n_features, names, info)


def _reduction_arrays(
    detector: BaseFewShotDetector,
    normals: Sequence[Array],
    prior: ScalePrior,
    scaler: Any,
    seed: int,
) -> dict[str, Array]:
    if detector.reduce is None:
        return {}
    scaled = [
        ScaledSupport(rows, np.zeros(len(rows), dtype=np.int8), scaler, prior).support
        for rows in normals
    ]
    return Reduction.fit(detector.reduce, scaled, detector.reduce_dim, seed).to_arrays()


# --- the module of a state ------------------------------------------------------------------------
def describe(
    detector: BaseFewShotDetector, X: Array, y: Codes, state: MetaState
) -> MaskedRepresentation:
    """Represent a support, and rows relative to it, as input of the process of a state."""
    return MaskedRepresentation(
        X,
        y,
        state.architecture["scaler"] if detector._scaler_follows else detector.scaler,
        ScalePrior.from_arrays(state.arrays),
        Reduction.from_arrays(state.arrays),
        mark_departures=state.info["targets"] is None,
    )


def module_of(
    detector: BaseFewShotDetector, state: MetaState, plans: Sequence[MaskPlan] | None = None
) -> NeuralProcess:
    """Make the module of a state, with the network if it has one.

    Parameters
    ----------
    detector : NeuralProcessDetector
        The detector whose parameters are used.
    state : MetaState
        The state.
    plans : sequence of MaskPlan, default=None
        Masks by which rows are scored; None means those of the detector's anomaly score.
    """
    weights = from_arrays(state.arrays, WEIGHT)
    plans = _plans(detector, state) if plans is None else plans
    module = new_module(detector, state, plans, bool(weights)).double().eval()
    if weights:
        module.network.load_state_dict(weights)
    return module


def new_module(
    detector: BaseFewShotDetector, state: MetaState, plans: Sequence[MaskPlan], has_network: bool
) -> NeuralProcess:
    """Make a module whose network, if it has one, is untrained."""
    architecture, info = state.architecture, state.info
    known = Knowledge.from_arrays(state.arrays)
    anchors: dict[str, LinearAnchor | KernelAnchor] = {
        "linear": LinearAnchor(None if known is None else known.prior),
        "kernel": KernelAnchor(),
    }
    anchors = {name: anchors[name] for name in ANCHORS[architecture["anchor"]]}
    network = None
    if has_network:
        with torch_seed(info["seed"]):
            network = make_network(
                architecture["kind"],
                info["n_features"],
                width=architecture["embedding_dim"],
                n_out=2 * max(len(anchors), 1),
                n_layers=architecture["n_layers"],
                n_heads=architecture["n_heads"],
                n_latent_samples=detector.n_latent_samples,
                grid_shape=architecture["grid_shape"] or (info["n_features"],),
                seed=info["seed"],
            )
    return NeuralProcess(
        network,
        anchors=anchors,
        likelihood=architecture["likelihood"],
        plans=plans,
        score=detector.anomaly_score,
        weights=None if known is None else known.weights,
        n_prior_anomalies=_PRIOR_ANOMALIES if detector.weigh_features else None,
        objective=detector.objective,
    )


def _plans(detector: BaseFewShotDetector, state: MetaState) -> list[MaskPlan]:
    """Plan the masks by which the anomaly score of the detector hides features."""
    n_features, targets = state.info["n_features"], state.info["targets"]
    if detector.anomaly_score == "density" and targets is None:
        return chain_plan(n_features, _ORDERS, _CHAIN_BLOCKS, 0)
    return [scoring_plan(n_features, detector.n_masks, targets, 0)]

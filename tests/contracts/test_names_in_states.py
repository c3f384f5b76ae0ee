"""Names of arrays and facts in a meta-learned state: files that were saved hold them for good."""

import re

import pytest
from families import META_OF_EACH_CLASS, make_detector

PLACE = ("centre", "centre_variance", "distances", "log_spread", "log_spread_variance")
TASKS = {f"tasks_{name}" for name in PLACE}
SCALE = {"scale_mean", "scale_mean_variance", "scale_variance"}
POOLED = {
    f"pooled_{a}_{b}" for a in ("raw", "scaled") for b in ("basis", "directions", "gain", "rest")
}
POOLED |= {"pooled_relevance"}
MIX = {"choice", "closed", "theta", "typical_spread"}
LINEAR = ("weight", "bias")


def layers(*names):
    return {f"{name}.{part}" for name in names for part in LINEAR}


ARRAYS = {
    "any width": {"probability", *MIX},
    "meta-fitted": {"probability", *MIX, *POOLED, *SCALE, *TASKS},
    "meta-fitted mlp": {"probability", *SCALE, *TASKS, *layers("embed.N")},
    "residual maml": {
        "probability", "sizes", *MIX, *POOLED, *SCALE, *TASKS,
        "network.log_rates", "network.learner.log_slope", "network.learner.weights.N",
    },
    "fomaml svdd": {
        "closed", "probability", "sizes", *SCALE, *TASKS,
        "network.log_rates", "network.learner.centre", "network.learner.weights.N",
    },
    "residual anil": {
        "probability", "sizes", *MIX, *POOLED, *SCALE, *TASKS,
        "network.log_rates", "network.learner.gain", "network.learner.weights.N",
    },
    "meta-fitted tnp": {
        "probability", *TASKS,
        *(f"labels.{name}" for name in (*MIX, "n_anomalous", "n_normal")),
        *(f"knowledge.{name}" for name in ("factor", "prior_rows", "rest", "weights")),
        *layers("net.decoder.net.N", "net.encoder.net.N", "net.aggregator.layers.N.net.N"),
        *layers("net.aggregator.layers.N.norm", "net.aggregator.layers.N.normN"),
        *layers(*(f"net.aggregator.layers.N.attention.{name}"
                  for name in ("mix", "to_key", "to_query", "to_value"))),
    },
    "meta-fitted in context": {
        "closed", "departs", "kinds", "probability", "typical_spread", "net.kind", "net.own",
        *layers("net.says", "net.facts.N", "net.gate.N", "net.norm", "net.attention.out_proj"),
        "net.attention.in_proj_weight", "net.attention.in_proj_bias",
    },
}  # fmt: skip
PROTOTYPES = "embedding embedding_dim evidence hidden scaler"
GRADIENTS = "algorithm embedding_dim hidden inject inner_batch inner_lr learner n_inner_steps"
PROCESS = "anchor embedding_dim grid_shape kind likelihood n_heads n_layers reduce scaler"
FACTS = {  # of the architecture, and beside it
    "meta-fitted": (PROTOTYPES, "held_out history n_anomalous n_normal"),
    "residual maml": (
        f"{GRADIENTS} residual scaler",
        "evidence held_out history n_anomalous n_normal network permuted_features seed",
    ),
    "meta-fitted tnp": (f"{PROCESS} target_features", "held_out history n_features seed targets"),
    "meta-fitted in context": ("", "evidence held_out history start"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_a_state_keep_their_names(name):
    found = {re.sub(r"\d+", "N", key) for key in make_detector(name).pretrained.arrays}
    assert found == ARRAYS[name]


@pytest.mark.parametrize("name", META_OF_EACH_CLASS)
def test_facts_of_a_state_keep_their_names(name):
    state, (architecture, info) = make_detector(name).pretrained, FACTS[name]
    assert state.detector == type(make_detector(name)).__name__
    assert set(state.architecture) == set(architecture.split())
    assert set(state.info) == {"anomaly_rate", "n_tasks", *info.split()}

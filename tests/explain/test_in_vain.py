"""Reading from a state whether the weights that meta_fit trained are used."""

import numpy as np
import pytest
from families import make_detector

from sklearn_fsad import MetaState
from sklearn_fsad._explain.in_vain import trained_in_vain


def state_of(held_out=(), **arrays):
    return MetaState("Some", {}, arrays or {"a": np.zeros(1)}, None, info={"held_out": held_out})


def entry(regime, used, options=("closed form", "network"), choice="network"):
    roc_auc = dict.fromkeys(options, 0.5)
    return {"choice": choice, "regime": regime, "used": used, "roc_auc": roc_auc}


@pytest.mark.parametrize(
    ("held_out", "in_vain"),
    [
        ([], (False, False)),
        ([entry("unlabelled", "closed form"), entry("labelled", "network")], (True, False)),
        ([entry("labelled", "closed form", options=())], (True, True)),  # it decides for both
        ([entry("unlabelled", "network")], (False, False)),
        ([entry("labelled", "before", ("before", "stage 1"))], (True, True)),
        ([entry("unlabelled", "8 rows", ("0 rows", "8 rows"), "prior")], (False, False)),
        (
            [entry("unlabelled", "8 rows", ("8 rows",)), entry("unlabelled", "closed form")],
            (True, True),
        ),
    ],
)
def test_held_out_comparisons_say_what_is_used(held_out, in_vain):
    assert trained_in_vain(state_of(held_out)) == in_vain


def test_a_network_that_is_used_although_it_lost_is_not_in_vain():
    held_out = [entry("labelled", "closed form")]
    assert trained_in_vain(state_of(held_out, use=np.array([True, True]))) == (False, False)
    assert trained_in_vain(state_of(use=np.array([False, True]))) == (True, False)
    assert trained_in_vain(state_of(held_out, sizes=np.array([0.25, 0.1]))) == (False, False)


def test_weights_that_depart_for_labelled_supports_alone_are_in_vain_for_the_others():
    held_out = [entry("labelled", "stage 1", ("before", "stage 1"))]
    departs = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert trained_in_vain(state_of(held_out, departs=departs)) == (True, False)


@pytest.mark.parametrize("name", ["residual maml", "meta-fitted tnp", "meta-fitted mlp"])
def test_methods_without_a_gate_use_what_they_train(name):
    assert trained_in_vain(make_detector(name).pretrained) == (False, False)

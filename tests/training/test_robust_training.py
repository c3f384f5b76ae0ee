"""Robust meta-training: on supports with anomalies nobody has noticed, and against an adversary."""

import numpy as np
import pytest
import torch
from families import make_family, new_task, unlearned

from sklearn_fsad._detectors.neural_process.training import NormalEpisodes
from sklearn_fsad._state import resolve_state
from sklearn_fsad._training.adversary import attacked
from sklearn_fsad._training.losses import PairwiseLoss
from sklearn_fsad.tasks._episodes import draw_hidden

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")
NAMES = ("mix", "mlp", "residual maml", "in context", "meta-fitted np")
COMMON = {"n_normal": (10, 10), "n_query": 5, "targets": [0], "seed": 0}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_learns_otherwise_from_contaminated_supports(name):
    tasks = make_family()
    plain, robust = (
        resolve_state(
            unlearned(name).set_params(support_contamination=share).meta_fit(tasks).pretrained
        ).arrays
        for share in (0.0, 0.4)
    )
    assert plain.keys() == robust.keys()
    assert not all(np.array_equal(plain[key], robust[key]) for key in plain)


@pytest.mark.parametrize("share", [-0.1, 0.6, "a lot"])
def test_other_shares_are_refused_and_nothing_is_lost(share):
    detector = unlearned("mix").set_params(support_contamination=share)
    with pytest.raises(ValueError, match="support_contamination"):
        detector.meta_fit(make_family())
    assert detector.pretrained is None


def test_contexts_of_a_process_hide_anomalies_and_its_queries_none():
    rows, hidden = np.zeros((40, 3)), np.ones((12, 3))
    episodes = NormalEpisodes([rows], None, anomalies=[hidden], support_contamination=0.4, **COMMON)
    drawn = [episodes.episode(0, i) for i in range(200)]
    shares = [e.support_X[:, 0].mean() for e in drawn]
    assert {len(e.support_X) for e in drawn} == {10}
    assert np.mean(shares) == pytest.approx(0.2, abs=0.04)
    assert all((e.query_X[:, :3] == 0).all() for e in drawn)


def test_one_shot_at_least_is_what_it_is_taken_for():
    rng = np.random.default_rng(0)
    assert {draw_hidden(rng, 2, 0.5) for _ in range(200)} == {0, 1}
    assert {draw_hidden(rng, 1, 0.5) for _ in range(20)} == {0}


def test_without_anomalies_contexts_are_as_they_were():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    plain = NormalEpisodes([rows], None, **COMMON)
    robust = NormalEpisodes([rows], None, support_contamination=0.4, **COMMON)
    for i in range(5):
        np.testing.assert_array_equal(
            np.sort(plain.episode(0, i).support_X, axis=0),
            np.sort(robust.episode(0, i).support_X, axis=0),
        )


# --- an adversary ---------------------------------------------------------------------------------
def test_an_adversary_moves_queries_to_where_the_loss_is_larger():
    query = torch.tensor([[0.5, -0.2], [2.0, 0.0]])
    weights = torch.tensor([1.0, -1.0])

    def loss(rows):
        return (rows * weights).sum()

    moved = attacked(loss, query, 0.3)
    torch.testing.assert_close(moved, query + 0.3 * weights)
    assert not moved.requires_grad


def test_an_adversary_stays_where_moving_changes_nothing():
    query = torch.ones(3, 2)
    torch.testing.assert_close(attacked(lambda rows: (rows * 0.0).sum(), query, 0.3), query)


def test_a_network_trained_against_an_adversary_is_another_and_repeatable():
    tasks = make_family()
    plain, hard, again = (
        resolve_state(unlearned("mlp").set_params(adversarial_eps=eps).meta_fit(tasks).pretrained)
        for eps in (0.0, 0.3, 0.3)
    )
    assert not all(np.array_equal(plain.arrays[k], hard.arrays[k]) for k in plain.arrays)
    for key, value in hard.arrays.items():
        np.testing.assert_array_equal(value, again.arrays[key])


def test_it_holds_out_better_against_moved_queries():
    """Loss of attacked queries of a new task, after training with and without an adversary."""
    tasks = make_family()
    X, y, query, query_y = new_task(n_support=20)
    losses = []
    for eps in (0.0, 0.5):
        detector = unlearned("mlp").set_params(adversarial_eps=eps).meta_fit(tasks).fit(X, y)
        model = detector._adaptation
        described, values = model.representation, model.tensors

        def loss(rows, module=model.module, values=values):
            return PairwiseLoss()(module.score(values, rows), torch.from_numpy(query_y))

        rows = torch.from_numpy(described.transform(query))
        losses.append(float(loss(attacked(loss, rows, 0.5)).detach()))
    assert losses[1] < losses[0]

"""Weights of evidence: the closed form, the learned mix, and the choice between them."""

import numpy as np
import pytest
import torch
from families import QUICK, make_family, new_task
from sklearn.base import clone

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._evidence.episodes import FoldedEvidence, observe, typical_spread
from sklearn_fsad._evidence.kinds import EVIDENCE, FAMILY, resolve_evidence
from sklearn_fsad._evidence.mix import CLOSED_FORM, MIX, SINGLE, EvidenceMix, default_weights
from sklearn_fsad._evidence.mix_training import _choose, learn_mix
from sklearn_fsad._training.held_out import HeldOutEpisode
from sklearn_fsad._training.settings import TrainingSettings
from sklearn_fsad.tasks import Episode, EpisodeSampler, TaskSet

KINDS = tuple(EVIDENCE.values())
NAMES = list(EVIDENCE)


def labels(n, k, padding=0):
    return torch.tensor([0] * n + [1] * k + [-1] * padding)


def weights_of(mix, n, k):
    y = labels(n, k)
    with torch.no_grad():
        return mix.adapt(torch.zeros(len(y), mix.closed.shape[1]), y)["weights"].numpy()


def new_mix(**given):
    return EvidenceMix(default_weights(KINDS, False), (5, 50), (0, 10), **given)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_closed_form_of_tables(k):
    weights = dict(zip(NAMES, weights_of(new_mix(choice=(1, 1)), 10, k), strict=True))
    free, labelled = 1 / (1 + 0.5 * k), float(k > 0)
    expected = {
        "mahalanobis_raw": 0.25 * free,
        "mahalanobis_scaled": 0.25 * free,
        "nearest_scaled": 0.5 * free,
        "subspace_ratio": 0.5 * labelled,
        "ratio_scaled": 0.5 * labelled,
        "discriminant_raw": 0.25 * labelled,
        "discriminant_scaled": 0.25 * labelled,
    }
    for name, weight in weights.items():
        assert weight == pytest.approx(expected.get(name, 0.0)), name


@pytest.mark.parametrize("k", [0, 1, 4])
def test_closed_form_of_embeddings(k):
    mix = EvidenceMix(default_weights(KINDS, True), (5, 50), (0, 10), choice=(CLOSED_FORM,) * 2)
    weights = dict(zip(NAMES, weights_of(mix, 10, k), strict=True))
    assert weights.pop("mahalanobis_raw") == pytest.approx(1.0)
    assert weights.pop("off_axis") == pytest.approx(0.4)
    assert weights.pop("discriminant_raw") == pytest.approx(0.4 * np.log1p(k))
    assert not any(weights.values())


def own_free(support, rows):
    return rows.raw[:, 0]


def own_labelled(support, rows):
    return rows.raw[:, 0]


own_labelled.needs_anomalies = True


def test_closed_form_of_a_subset_and_of_functions_of_ones_own():
    def weights(evidence, k):
        kinds = resolve_evidence(evidence)
        return weights_of(
            EvidenceMix(default_weights(kinds, False), (5, 50), (0, 10), None, (1, 1)), 9, k
        )

    assert weights(["nearest_scaled"], 0).tolist() == [0.5]
    np.testing.assert_allclose(
        weights(["nearest_scaled", own_free, own_labelled], 0), [0.5, 0.5, 0]
    )
    np.testing.assert_allclose(weights([own_free, own_labelled], 2), [0.5, 0.5])
    unused = weights(["nearest_pooled", "directions_pooled", "discriminant_pooled"], 3)
    assert unused.min() == unused.max() > 0


@pytest.mark.parametrize("seed", range(5))
def test_learned_weights_are_never_negative(seed):
    theta = 5 * np.random.default_rng(seed).normal(size=(3, len(KINDS)))
    mix = new_mix(theta=theta)
    for n in (2, 5, 20, 500):
        for k in (0, 1, 10, 100):
            assert (weights_of(mix, n, k) >= 0).all()


def test_learned_weights_stay_as_at_the_border_outside_the_trained_shots():
    mix = EvidenceMix(
        default_weights(KINDS, False),
        (5, 50),
        (1, 10),
        np.random.default_rng(0).normal(size=(3, 12)),
    )
    for n, border in ((2, 5), (60, 50), (4000, 50)):
        np.testing.assert_array_equal(weights_of(mix, n, 3), weights_of(mix, border, 3))
    for k, border in ((0, 1), (11, 10), (500, 10)):
        np.testing.assert_array_equal(weights_of(mix, 20, k), weights_of(mix, 20, border))
    assert not np.allclose(weights_of(mix, 5, 3), weights_of(mix, 50, 3))
    assert not np.allclose(weights_of(mix, 20, 1), weights_of(mix, 20, 10))


def test_the_choice_is_made_apart_without_and_with_labelled_anomalies():
    theta = np.random.default_rng(0).normal(size=(3, len(KINDS)))
    mix, closed = new_mix(theta=theta), new_mix(theta=theta, choice=(CLOSED_FORM, CLOSED_FORM))
    for k in (0, 2):
        assert not np.allclose(weights_of(mix, 9, k), weights_of(closed, 9, k))
    both = new_mix(theta=theta, choice=(CLOSED_FORM, MIX))
    np.testing.assert_array_equal(weights_of(both, 9, 0), weights_of(closed, 9, 0))
    np.testing.assert_array_equal(weights_of(both, 9, 2), weights_of(mix, 9, 2))
    single = new_mix(theta=theta, choice=(SINGLE + 3, SINGLE))
    np.testing.assert_array_equal(weights_of(single, 9, 0), np.eye(len(KINDS))[3])
    np.testing.assert_array_equal(weights_of(single, 9, 2), np.eye(len(KINDS))[0])


def test_a_batch_of_padded_supports_gives_the_weights_of_each():
    theta = np.random.default_rng(0).normal(size=(3, len(KINDS)))
    mix = new_mix(theta=theta, choice=(CLOSED_FORM, MIX))
    shots = [(5, 0), (8, 3), (2, 1)]
    y = torch.stack([labels(n, k, padding=11 - n - k) for n, k in shots])
    with torch.no_grad():
        together = mix.adapt(torch.zeros(3, 11, len(KINDS)), y)["weights"].numpy()
    for weights, (n, k) in zip(together, shots, strict=True):
        np.testing.assert_allclose(weights, weights_of(mix, n, k), rtol=1e-12)


def test_scores_are_the_weighted_sum_of_the_evidence():
    mix = new_mix(choice=(CLOSED_FORM, CLOSED_FORM))
    Z = np.random.default_rng(0).normal(size=(7, len(KINDS)))
    with torch.no_grad():
        scores = mix(torch.zeros(6, len(KINDS)), labels(4, 2), torch.from_numpy(Z)).numpy()
    np.testing.assert_allclose(scores, Z @ weights_of(mix, 4, 2))


def test_a_state_without_learned_weights_is_the_closed_form():
    closed = default_weights(KINDS, False)
    mix = EvidenceMix.from_arrays({"closed": closed}, (5, 50), (0, 10))
    assert mix.choice == (CLOSED_FORM, CLOSED_FORM)


# --- training -------------------------------------------------------------------------------------
def test_no_epochs_keep_the_closed_form_exactly():
    X, y, query, _ = new_task()
    settings = {**QUICK, "max_epochs": 0}
    untrained = ProtoNetDetector(evidence="support")
    kept = ProtoNetDetector(evidence="support", **settings).meta_fit(make_family())
    assert "theta" not in kept.pretrained.arrays
    for k in (0, 4):
        rows = np.arange(12 + k)
        expected = clone(untrained).fit(X[rows], y[rows]).decision_function(query)
        np.testing.assert_array_equal(kept.fit(X[rows], y[rows]).decision_function(query), expected)
    default = ProtoNetDetector(**settings).meta_fit(make_family()).fit(X, y)
    expected = ProtoNetDetector().fit(X, y).decision_function(query)
    np.testing.assert_allclose(default.decision_function(query), expected, rtol=1e-10)


class Fixed:
    """Evidence of an episode that is already known."""

    def __init__(self, fold, task, seed, good):
        rng = np.random.default_rng([seed, task])
        self.fold, self.group = fold, task
        self.own_spread, self.n_normal = np.ones(len(KINDS)), 10
        self.support = self
        y = np.array([0] * 10 + [1] * 4, dtype=np.int8)
        query_y = np.array([0] * 15 + [1] * 15, dtype=np.int8)
        query = rng.normal(size=(30, len(KINDS)))
        query[:, good] += 4 * query_y
        self.made = Episode(task, np.zeros((14, len(KINDS))), y, query, query_y)

    def episode(self, typical):
        return self.made


def test_training_gives_weight_to_the_evidence_that_separates():
    good = NAMES.index("directions_pooled")
    observed = [Fixed(i % 5, i % 10, i, good) for i in range(30)]
    learned = learn_mix(observed, KINDS, new_mix, TrainingSettings(lr=0.08, max_epochs=60))
    weights = weights_of(new_mix(theta=learned.theta), 10, 4)
    assert weights.argmax() == good
    losses = [epoch["train_loss"] for epoch in learned.history]
    assert losses[-1] < 0.5 * losses[0]
    labelled = learned.reports[1]
    assert labelled.regime == "labelled"
    assert labelled.roc_auc["mix"] > labelled.roc_auc["closed form"] + 0.2
    assert learned.choice[0] == CLOSED_FORM  # no episode without anomalies was seen


@pytest.mark.parametrize(
    ("mix", "closed", "single", "used"),
    [
        ((0.9, 0.9, 0.9), (0.8, 0.8, 0.8), (0.7, 0.8, 0.7), MIX),
        ((0.8, 0.8, 0.8), (0.9, 0.9, 0.91), (0.7, 0.8, 0.7), CLOSED_FORM),
        ((0.8, 0.8, 0.8), (0.7, 0.7, 0.7), (0.9, 0.9, 0.91), SINGLE + 1),
        ((0.8, 0.8, 0.8), (0.7, 0.7, 0.7), (0.99, 0.6, 0.84), MIX),  # better, but not clearly
    ],
)
def test_the_mix_is_kept_unless_another_option_is_clearly_better(mix, closed, single, used):
    held_out = [
        HeldOutEpisode(task, 1, np.array([mix[task], closed[task], 0.5, single[task], 0.5]))
        for task in range(3)
    ]
    kinds = KINDS[:3]
    choice, report = _choose(1, held_out, kinds)
    assert choice == used
    assert report.roc_auc["mix"] == pytest.approx(np.mean(mix), abs=1e-4)
    assert _choose(0, held_out, kinds)[0] == CLOSED_FORM
    assert _choose(1, held_out[:1], kinds)[0] == CLOSED_FORM
    assert _choose(1, held_out[:2], kinds)[0] == MIX  # they tell little about a third


def test_an_episode_is_seen_without_what_its_own_fold_would_tell():
    tasks = TaskSet(make_family())
    sampler = EpisodeSampler(tasks, n_normal=(4, 16), n_anomalous=(0, 5), n_query=20)
    folds = tasks.folds(4, 0)
    asked = []

    class Seen:
        def __init__(self, left_out):
            asked.append(left_out)
            self.calibration = tuple(left_out)

        def evaluate(self, X):
            return np.zeros((len(X), 1))

    class Folded:
        group_of = tuple(range(10, 18))

        def without(self, fold):
            return lambda X, y: Seen(fold)

    observed = observe(Folded(), sampler, 16, folds)
    assert len(observed) == len(asked) == 16
    for o in observed:
        assert o.raw.task in o.support
        assert o.raw.task in folds[o.fold]
        assert o.group == 10 + o.raw.task


def test_typical_spread_is_a_line_in_log_n():
    class Calibrated:
        def __init__(self, n):
            self.n_normal, self.own_spread = n, np.array([3.0 * n**-0.5, 0.0])

    class Observed:
        def __init__(self, n):
            self.support = Calibrated(n)

    kinds = KINDS[:2]
    line = typical_spread([Observed(n) for n in (5, 10, 20, 50)], kinds)
    np.testing.assert_allclose(line[:, 0], [np.log(3.0), -0.5])
    np.testing.assert_allclose(line[:, 1], [np.log(kinds[1].spread), 0.0])
    flat = typical_spread([Observed(n) for n in (10, 10, 10)], kinds)
    np.testing.assert_allclose(flat[:, 0], [np.log(3.0 * 10**-0.5), 0.0])


def test_a_mix_is_read_from_the_arrays_of_its_state():
    theta = np.random.default_rng(0).normal(size=(3, len(KINDS)))
    arrays = {
        "closed": default_weights(KINDS, False),
        "theta": theta,
        "choice": np.array([MIX, SINGLE]),
    }
    mix = EvidenceMix.from_arrays(arrays, (5, 50), (0, 10))
    np.testing.assert_array_equal(mix.theta.detach(), theta)
    assert mix.choice == (MIX, SINGLE)
    for k in (0, 4):
        given = new_mix(theta=theta, choice=(MIX, SINGLE))
        np.testing.assert_array_equal(weights_of(mix, 10, k), weights_of(given, 10, k))
    untold = EvidenceMix.from_arrays({"closed": arrays["closed"]}, (5, 50), (0, 10))
    assert untold.choice == (CLOSED_FORM, CLOSED_FORM)


def test_evidence_without_a_fold_knows_nothing_of_its_tasks():
    fold, tasks = (1, 4), list(make_family(6))
    turn = np.random.default_rng(0).normal(size=(5, 5))
    moved = [(X @ turn, y) if i in fold else (X, y) for i, (X, y) in enumerate(tasks)]
    X, y, query, _ = new_task()

    def said(tasks, left_out):
        evidence = FoldedEvidence(TaskSet(tasks), tuple(FAMILY.values()), "none", None)
        return evidence.without(left_out)(X, y).evaluate(query)

    np.testing.assert_array_equal(said(moved, fold), said(tasks, fold))
    assert not np.allclose(said(moved, ()), said(tasks, ()))

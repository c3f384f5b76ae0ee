"""The network that weighs evidence about a table, what it sees, and how it is fine-tuned."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from families import make_family, new_task

from sklearn_fsad import MetaState
from sklearn_fsad._detectors.in_context.closed_form import (
    applicable,
    closed_form,
    default_arrays,
    kinds_of,
)
from sklearn_fsad._detectors.in_context.module import (
    N_FACTS,
    ContextMix,
    arrays_of,
    module_of,
    new_module,
)
from sklearn_fsad._detectors.in_context.representation import (
    TableRepresentation,
    own_order,
    support_summary,
)
from sklearn_fsad._detectors.in_context.training import (
    described,
    fine_tune,
    train,
    with_pooled,
)
from sklearn_fsad._evidence.calibration import CalibratedEvidence
from sklearn_fsad._evidence.episodes import FoldedEvidence, observe, typical_spread
from sklearn_fsad._evidence.kinds import FAMILY, LATER, POOLED, TABULAR
from sklearn_fsad._state import resolve_state
from sklearn_fsad._stats.scaling import ScaledSupport
from sklearn_fsad._training.settings import TrainingSettings
from sklearn_fsad.prior import TabularPrior
from sklearn_fsad.tasks._episodes import EpisodeSampler
from sklearn_fsad.tasks._task_set import TaskSet

GOLDEN = Path(__file__).parents[2] / "golden" / "0.1.0"
KINDS = tuple(TABULAR.values())
FACTS = [0.0] * (N_FACTS - 1)
pytestmark = [
    pytest.mark.usefixtures("few_trees"),
]


def described_rows(n, k, embedding=False, seed=0):
    """Made-up evidence of a support and a query, and its labels."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n, k])
    applies = applicable()[int(embedding), int(k > 0)]
    X, query = (rng.normal(size=(m, len(KINDS))) * applies for m in (n + k, 9))
    X[n:] += 2.0 * applies
    facts = np.array([*FACTS, float(embedding)])
    return (
        torch.from_numpy(np.column_stack([part, np.tile(facts, (len(part), 1))]))
        if part.ndim == 2
        else torch.from_numpy(part)
        for part in (X, y, query)
    )


def awake(seed=0, **given):
    """A network whose gate says something."""
    module = new_module(default_arrays(), seed, **given).double().eval()
    with torch.no_grad():
        module.gate[-1].weight.normal_(generator=torch.Generator().manual_seed(seed))
    return module


# --- the closed form ------------------------------------------------------------------------------
def closed_weights(k, embedding=False, n=12):
    """The closed form's weights of a number of labelled anomalies, and of normals if none is."""
    few, many, one, ten = closed_form()[int(embedding)]
    none = few + (np.log(n / 10) / np.log(5)) * (many - few)
    return none if k == 0 else one + (np.log((1 + k) / 2) / np.log(5.5)) * (ten - one)


@pytest.mark.parametrize("k", [0, 1, 4, 10])
@pytest.mark.parametrize("embedding", [False, True])
def test_a_network_without_training_is_the_closed_form(k, embedding):
    X, y, query = described_rows(12, k, embedding)
    closed = closed_weights(k, embedding)
    module = new_module(default_arrays(), 0, departs=np.zeros((2, 2))).double().eval()
    np.testing.assert_allclose(module(X, y, query).detach(), query[:, :-N_FACTS].numpy() @ closed)
    learning = new_module(default_arrays(), 0).double().eval()
    np.testing.assert_allclose(learning.adapt(X, y)["weights"].detach(), closed, atol=2e-3)


def test_the_closed_form_weighs_only_what_applies():
    closed, applies = closed_form(), applicable()
    assert closed.shape == (2, 4, len(KINDS))
    assert applies.shape == (2, 2, len(KINDS))
    assert (closed[applies[:, [0, 0, 1, 1]] == 0] == 0).all()
    np.testing.assert_allclose(closed[0].sum(axis=-1), 1.0)
    assert (closed[:, :2][..., [e.needs_anomalies for e in KINDS]] == 0).all()


@pytest.mark.parametrize(("n", "rows"), [(3, (1, 0)), (10, (1, 0)), (50, (0, 1)), (400, (0, 1))])
def test_without_labels_the_closed_form_goes_from_ten_normals_to_fifty(n, rows):
    X, y, _ = described_rows(n, 0)
    module = new_module(default_arrays(), 0, departs=np.zeros((2, 2))).double().eval()
    weights = module.adapt(X, y)["weights"].detach()
    np.testing.assert_allclose(weights, rows @ closed_form()[0, :2], atol=1e-12)


def test_states_that_name_no_evidence_have_the_first_kinds():
    state = MetaState.load(GOLDEN / "in_context.safetensors")
    for arrays in (state.arrays, resolve_state("tabular-v1").arrays):
        assert "kinds" not in arrays
        assert not {e.name for e in kinds_of(arrays)} & set(LATER)
    assert [e.name for e in kinds_of(state.arrays)] == list(state.info["evidence"])
    assert [e.name for e in kinds_of(default_arrays())] == list(TABULAR)


def test_a_state_without_names_keeps_its_kinds_when_it_is_fine_tuned():
    tasks = TaskSet(make_family())
    start = dict(resolve_state("tabular-v1").arrays)
    pooled = FoldedEvidence(tasks, tuple(FAMILY.values()), "none", None).pooled()
    wider = with_pooled(start, pooled)
    expected = [e.name for e in kinds_of(start)] + list(POOLED)
    assert [e.name for e in kinds_of(wider)] == expected
    assert [e.name for e in kinds_of(with_pooled(wider, pooled))] == expected


# --- the network ----------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [0, 4])
def test_weights_are_never_negative_and_silent_evidence_has_none(k):
    X, y, _ = described_rows(12, k)
    weights = awake().adapt(X, y)["weights"]
    assert (weights >= 0).all()
    assert (weights[torch.from_numpy(applicable()[0, int(k > 0)] == 0)] == 0).all()
    applies = closed_weights(k) > 0
    ratio = weights.detach().numpy()[applies] / closed_weights(k)[applies]
    assert 0.5 < ratio.min() < 0.99 * ratio.max() < 2.0


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("k", [0, 4])
def test_a_regime_that_does_not_depart_keeps_the_closed_form(k, embedding):
    X, y, _ = described_rows(12, k, embedding)
    for departs in (0.0, 1.0):
        which = np.full((2, 2), 1.0 - departs)
        which[int(embedding), int(k > 0)] = departs
        weights = awake(departs=which).adapt(X, y)["weights"].detach()
        assert np.allclose(weights, closed_weights(k, embedding)) == (departs == 0.0)


def test_rows_of_the_support_may_come_in_any_order_and_padding_counts_for_nothing():
    X, y, _ = described_rows(12, 3)
    module, order = awake(), np.random.default_rng(0).permutation(15)
    expected = module.adapt(X, y)["weights"].detach()
    np.testing.assert_allclose(module.adapt(X[order], y[order])["weights"].detach(), expected)
    padded = torch.cat([X, torch.zeros(4, X.shape[1])]), torch.cat([y, torch.full((4,), -1)])
    np.testing.assert_allclose(module.adapt(*padded)["weights"].detach(), expected)


def test_supports_of_a_batch_do_not_see_each_other():
    module = awake()
    several = [list(described_rows(12, k, seed=k)) for k in (2, 5)]
    X = torch.stack([part[0][:14] for part in several])
    y = torch.stack([part[1][:14] for part in several])
    together = module.adapt(X, y)["weights"]
    for i in range(2):
        alone = module.adapt(X[i], y[i])["weights"]
        np.testing.assert_allclose(together[i].detach(), alone.detach())


def test_a_network_survives_being_stored_to_three_digits():
    which = np.array([[0.0, 1.0], [0.0, 0.0]])
    module = awake(departs=which)
    arrays = arrays_of(module, which)
    X, y, query = described_rows(12, 3)
    again = module_of(arrays)
    np.testing.assert_array_equal(again.departs, which)
    stored = again(X, y, query).detach()
    np.testing.assert_allclose(stored, module(X, y, query).detach(), rtol=0.02, atol=0.02)
    assert sum(a.nbytes for name, a in arrays.items() if name.startswith("net.")) < 30_000


def test_dropout_of_evidence_is_for_training_only():
    X, y, query = described_rows(12, 3)
    module = awake()
    np.testing.assert_array_equal(*(module(X, y, query).detach() for _ in range(2)))
    module.train()
    assert (module.adapt(X, y)["weights"] == 0).sum() > (applicable()[0, 1] == 0).sum()


# --- facts and descriptions -----------------------------------------------------------------------
def test_facts_tell_sizes_repeated_values_and_rank():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4))
    evidence = rng.normal(size=(40, 3))
    plain = support_summary(X, np.zeros(40, dtype=bool), evidence)
    coarse = support_summary(np.round(X), np.zeros(40, dtype=bool), evidence)
    line = support_summary(X[:, :1] * np.ones(4), np.zeros(40, dtype=bool), evidence)
    assert plain[3] == 0 < 0.7 < coarse[3]
    assert plain[4] > 0.9 > 0.3 > line[4]
    few = support_summary(X, np.arange(40) < 3, evidence)
    assert few[2] == pytest.approx(np.log(4))
    assert plain[-1] == 0 < support_summary(rng.normal(size=(9, 101)), np.zeros(9, bool),
                                          evidence[:9])[-1]  # fmt: skip
    assert np.isfinite(support_summary(np.ones((2, 1)), np.zeros(2, bool), np.zeros((2, 3)))).all()


def test_rows_and_columns_have_an_order_of_their_own():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 7)), (np.arange(20) > 16).astype(np.int8)
    X[:, 3:5] = np.round(X[:, 3:5])
    rows, columns = own_order(X, y)
    expected = X[rows][:, columns]
    for _ in range(5):
        i, j = rng.permutation(20), rng.permutation(7)
        Z = X[i][:, j]
        rows, columns = own_order(7.0 * Z - 1.0, y[i])  # in other units
        np.testing.assert_array_equal(Z[rows][:, columns], expected)


def test_the_rows_of_a_support_are_the_context():
    X, y, query, _ = new_task(n_support=50, k_support=6)
    seen = TableRepresentation(X, y.astype(np.int8), {})
    assert len(set(seen.rows)) == len(seen.support) == 56
    assert (y[seen.rows] == seen.support_y).all()
    assert seen.transform(query).shape == (len(query), len(KINDS) + N_FACTS)


# --- training -------------------------------------------------------------------------------------
def fine_tuned(tasks, max_epochs=6, n_episodes=48):
    tasks = TaskSet(tasks)
    sampler = EpisodeSampler(tasks, n_normal=(4, 16), n_anomalous=(0, 4), n_query=30, seed=0)
    arrays = default_arrays()
    settings = TrainingSettings(lr=5e-3, max_epochs=max_epochs)
    return arrays, fine_tune(arrays, tasks, sampler, n_episodes, settings)


@cache
def fine_tuned_on_a_family():
    return fine_tuned(make_family(12))


def tables(tasks):
    return FoldedEvidence(tasks, KINDS, "none", None)


def test_episodes_are_described_by_calibrated_evidence_and_facts():
    tasks = TaskSet(make_family())
    sampler = EpisodeSampler(tasks, n_normal=(4, 16), n_anomalous=(1, 4), n_query=30, seed=0)
    seen = observe(tables(tasks), sampler, 6, [range(tasks.n_tasks)])
    arrays = {"typical_spread": typical_spread(seen, KINDS)}
    for o, e in zip(seen, described(seen, arrays["typical_spread"]), strict=True):
        X, y = o.raw.support_X, o.raw.support_y
        alone = CalibratedEvidence.from_arrays(arrays, ScaledSupport(X, y, "none"), y, KINDS)
        np.testing.assert_allclose(e.support_X[:, :-N_FACTS], alone.support)
        np.testing.assert_allclose(e.query_X[:, :-N_FACTS], alone.transform(o.raw.query_X))
        facts = support_summary(X, y == 1, alone.support)
        np.testing.assert_allclose(e.query_X[:, -N_FACTS:], np.tile(facts, (len(e.query_X), 1)))


def test_fine_tuning_departs_where_held_out_tasks_get_better():
    before, tuned = fine_tuned_on_a_family()
    assert [report.regime for report in tuned.reports] == ["unlabelled", "labelled"]
    used = [float(report.used != "before") for report in tuned.reports]
    assert used[0] == 1.0
    np.testing.assert_array_equal(tuned.arrays["departs"], [used, used])
    roc_auc = tuned.reports[0].roc_auc
    assert list(roc_auc) == ["before", "stage 1", "stage 2", "stage 3"]
    assert roc_auc[tuned.reports[0].used] > roc_auc["before"] + 0.01
    assert len(tuned.history) in (2, 4, 6)  # one of three stages
    assert set(before) < set(tuned.arrays)


def test_tasks_that_share_their_columns_have_evidence_in_common():
    _, tuned = fine_tuned_on_a_family()
    n = len(FAMILY)
    assert tuned.arrays["closed"].shape == (2, 4, n)
    assert tuned.arrays["typical_spread"].shape == (2, n)
    assert tuned.arrays["pooled_relevance"].shape == (5,)
    module = module_of(tuned.arrays)
    assert (module.own[:, len(TABULAR) :] > 0).any()  # it counts by now
    X, y, query, _ = new_task()
    described_here = TableRepresentation(X, y.astype(np.int8), tuned.arrays)
    pooled = described_here.transform(query)[:, len(TABULAR) : n]
    assert (pooled[:, : len(FAMILY) - len(TABULAR)] != 0).any()
    other_width = TableRepresentation(X[:, :3], y.astype(np.int8), tuned.arrays)
    assert (other_width.transform(query[:, :3])[:, len(TABULAR) : n] == 0).all()


def test_what_a_family_has_in_common_counts_for_nothing_before_it_is_learned():
    tasks = TaskSet(make_family())
    start = default_arrays()
    pooled = FoldedEvidence(tasks, tuple(FAMILY.values()), "none", None).pooled()
    wider = with_pooled(start, pooled)
    X, y, query, _ = new_task()
    seen = TableRepresentation(X, y.astype(np.int8), wider)
    assert (seen.transform(query)[:, len(TABULAR) : len(FAMILY)] != 0).any()
    support, labels = torch.from_numpy(seen.support), torch.from_numpy(seen.support_y)
    weights = module_of(wider).adapt(support, labels)["weights"].detach().numpy()
    of_tables = np.delete(support, np.s_[len(TABULAR) : len(FAMILY)], axis=1)
    before = module_of(start).adapt(of_tables, labels)["weights"].detach().numpy()
    np.testing.assert_allclose(weights, [*before, *np.zeros(len(FAMILY) - len(TABULAR))])


def test_fine_tuning_on_noise_or_on_too_few_tasks_changes_nothing():
    rng = np.random.default_rng(0)
    noise = [(rng.normal(size=(40, 4)), np.arange(40) >= 30) for _ in range(6)]
    for tasks in (noise, make_family()[:1]):
        before, tuned = fine_tuned(tasks, max_epochs=3)
        assert tuned.history == []
        assert set(tuned.arrays) == set(before)
        assert not (tuned.arrays["departs"] > 0).any()


def test_a_network_learns_from_synthetic_tables():
    tasks = TabularPrior(n_features=(2, 6), n_normal=120, n_anomalous=40, random_state=0).sample(12)
    sampler = EpisodeSampler(tasks, n_normal=(10, 40), n_anomalous=(1, 8), n_query=40, seed=0)
    seen = observe(tables(tasks), sampler, 24, [range(tasks.n_tasks)])
    episodes = described(seen, typical_spread(seen, KINDS))
    settings = TrainingSettings(lr=5e-3, max_epochs=6, batch_size=8)
    module, history = train(new_module(default_arrays(), 0), episodes, settings)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert isinstance(module, ContextMix)
    assert not module.training

"""Held-out tasks: how a candidate is scored on them, and when it is used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_episodes import (
    QUICK,
    module_apart,
    prepared_episodes,
)
from sklearn.metrics import roc_auc_score

from sklearn_fsad._detectors.maml.held_out import (
    OPTIONS,
    _all_scores,
    _positions_of_others,
    permuted_labels,
    score_held_out,
)
from sklearn_fsad._detectors.maml.training import _train
from sklearn_fsad._training.held_out import (
    SIZES,
    HeldOutComparison,
    HeldOutCorrection,
    HeldOutEpisode,
    _is_better,
    chosen_size,
)

NO_AUC = np.nan


# --- scoring --------------------------------------------------------------------------------------
def scored_by(module, made):
    """Score episodes by one network that was trained on none of them."""
    return score_held_out([module], [np.ones(len(made), dtype=bool)], made)


def test_an_episode_has_the_auc_of_its_closed_form_and_of_the_network():
    made = prepared_episodes(n_tasks=3)
    shorter = replace(made[1].episode, support_X=made[1].episode.support_X[1:],
                      support_y=made[1].episode.support_y[1:],
                      query_X=made[1].episode.query_X[:-5],
                      query_y=made[1].episode.query_y[:-5])  # fmt: skip
    made[1] = replace(made[1], episode=shorter, closed=made[1].closed[:-5])
    module, _ = _train(module_apart().float(), made, QUICK, permute=False)
    scored = scored_by(module, made)
    assert [(j.group, j.regime) for j in scored] == [(t, r) for t in range(3) for r in (0, 1, 1)]
    for j, e in zip(scored, made, strict=True):
        parts = (e.episode.support_X, e.episode.support_y, e.episode.query_X)
        with torch.no_grad():
            adapted = module(*map(torch.from_numpy, parts)).numpy()
            plain = module.unadapted(torch.from_numpy(e.episode.query_X)[None])[0]
        aucs = [roc_auc_score(e.episode.query_y, s) for s in (e.closed, adapted, plain)]
        np.testing.assert_allclose(j.aucs[:3], aucs)
        for size, auc in zip(SIZES, j.by_size, strict=True):
            part = e.closed + size * (adapted - e.closed)
            assert auc == pytest.approx(roc_auc_score(e.episode.query_y, part))
        assert np.isnan(j.aucs[4]) == (j.regime == 0)
        assert 0 <= j.aucs[3] <= 1
    assert len({j.aucs[1] for j in scored}) > 3


def with_a_shorter_query(prepared, n):
    """A prepared episode without its last queries, which is padded beside others."""
    e = prepared.episode
    shorter = replace(e, query_X=e.query_X[:-n], query_y=e.query_y[:-n])
    return replace(prepared, episode=shorter, closed=prepared.closed[:-n])


def test_an_episode_is_scored_by_the_mean_of_the_networks_that_did_not_see_it():
    made = prepared_episodes(n_tasks=3, per_task=1)
    made[1] = with_a_shorter_query(made[1], 4)
    networks = [
        _train(module_apart().float(), made, replace(QUICK, seed=seed), permute=False)[0]
        for seed in range(3)
    ]
    unseen = np.array([[True, True, False], [False, True, False], [False, False, True]])
    scored = score_held_out(networks, list(unseen), made)
    for i, j in enumerate(scored):
        e = made[i].episode
        parts = [torch.from_numpy(part) for part in (e.support_X, e.support_y, e.query_X)]
        with torch.no_grad():
            own = [net(*parts).numpy() for net, out in zip(networks, unseen[:, i], strict=True)
                   if out]  # fmt: skip
        assert j.aucs[1] == pytest.approx(roc_auc_score(e.query_y, np.mean(own, axis=0)))


def test_a_query_of_one_class_is_not_scored():
    made = prepared_episodes(n_tasks=2)
    for i, label in ((0, 0), (1, 1)):
        alike = np.full(30, label, dtype=np.int8)
        made[i] = replace(made[i], episode=replace(made[i].episode, query_y=alike))
    scored = scored_by(module_apart(), made)
    assert sorted((j.group, j.regime) for j in scored) == [(0, 1), (1, 0), (1, 1), (1, 1)]


def test_more_episodes_than_are_scored_at_once_come_out_as_one_by_one():
    made = prepared_episodes(n_tasks=25)
    module, _ = _train(module_apart().float(), made[:9], QUICK, permute=False)
    scored = scored_by(module, made)
    assert len(scored) == 75
    for i in (1, 2, 46, 74):
        [alone] = scored_by(module, [made[i]])
        np.testing.assert_allclose(alone.aucs[:3], scored[i].aucs[:3])
        assert alone.group == scored[i].group == made[i].group
        assert np.isnan(alone.aucs[3])  # there is no other task to take a support from


def test_a_swapped_support_is_that_of_another_task():
    assert _positions_of_others(np.array([4, 4, 7, 4])).tolist() == [2, 2, 3, 2]
    assert _positions_of_others(np.array([4, 4])).tolist() == [0, 1]
    assert _positions_of_others(np.array([0, 1, 2])).tolist() == [1, 2, 0]
    made = [e for e in prepared_episodes(n_tasks=3, per_task=2) if (e.episode.support_y == 1).any()]
    module, _ = _train(module_apart().float(), made, QUICK, permute=False)
    swapped = _all_scores(module, made, 1)[..., 2]
    for i in range(3):
        other, own = made[(i + 1) % 3].episode, made[i].episode
        parts = (other.support_X, other.support_y, own.query_X)
        with torch.no_grad():
            expected = module(*map(torch.from_numpy, parts)).numpy()
        np.testing.assert_allclose(swapped[i], expected)


def test_labels_are_permuted_among_the_rows_of_the_support_alone():
    y = np.array([0, 0, 0, 0, 2, 1, 1, 1, 1, 2, -1, -1])
    shuffled = permuted_labels(y)
    assert (shuffled != y).any()
    np.testing.assert_array_equal(shuffled[[4, 9, 10, 11]], y[[4, 9, 10, 11]])
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(y))
    assert y.tolist() == [0, 0, 0, 0, 2, 1, 1, 1, 1, 2, -1, -1]


# --- the comparison -------------------------------------------------------------------------------
def aucs(closed, adapted):
    return np.array([closed, adapted, 0.5, NO_AUC, NO_AUC])


@pytest.mark.parametrize(
    ("gains", "used"),
    [
        ([(0, 0.1), (1, 0.1), (2, 0.1)], True),
        ([(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.15), (2, 0.1), (2, 0.12)], True),
        ([(0, 0.3), (0, 0.3), (1, 0.3), (1, 0.3), (2, -0.01), (2, -0.01)], False),
        ([(0, 0.3), (0, -0.1), (1, 0.3), (1, 0.3), (2, 0.1), (2, -0.05)], True),
        ([(0, 0.01), (0, 0.01), (1, 0.5), (1, -0.45), (2, 0.0), (2, 0.02)], False),
        ([(0, 0.0), (1, 0.0), (2, 0.0)], False),
        ([(0, -0.1), (1, -0.1), (2, -0.1)], False),
        ([(0, 0.3), (1, 0.3)], False),
        ([(0, 0.3)], False),
        ([], False),
    ],
    ids=[
        "clear",
        "clear over several",
        "one fold loses",
        "one task loses, no fold",
        "within the noise",
        "equal",
        "worse",
        "two groups",
        "one group",
        "none",
    ],
)
def test_a_candidate_is_used_where_it_clearly_wins_and_loses_in_no_fold(gains, used):
    folds = np.array([fold for fold, _ in gains])
    assert _is_better(folds, np.array([aucs(0.6, 0.6 + gain) for _, gain in gains])) is used


def compared(episodes):
    return HeldOutComparison(episodes, "network", OPTIONS)


def episodes_of(regime, gains, closed=0.6, episodes=2):
    """Episodes of a group in each fold, some better and some worse than their mean."""
    return [
        HeldOutEpisode(fold, regime, aucs(closed, closed + gain + off), fold=fold)
        for fold, gain in enumerate(gains)
        for off in np.linspace(-0.05, 0.05, episodes)
    ]


def test_the_two_regimes_are_compared_apart():
    won, lost = episodes_of(0, [0.1, 0.1, 0.1]), episodes_of(1, [0.1, 0.1, -0.1])
    assert compared(won + lost).used == (True, False)
    assert compared(won).used == (True, False)
    assert compared([replace(j, regime=1) for j in won]).used == (False, True)
    assert compared([]).used == (False, False)


def test_a_group_weighs_the_same_however_many_episodes_it_has():
    often = episodes_of(0, [-0.2], episodes=50)
    seldom = [replace(j, fold=j.fold + 1, group=j.group + 1) for j in episodes_of(0, [0.1] * 4)]
    [report] = compared(often + seldom).reports
    assert report.roc_auc["network"] == pytest.approx(0.6 + (0.4 - 0.2) / 5)


def test_siblings_count_once():
    alike = [HeldOutEpisode(5, 0, aucs(0.6, 0.7))] * 4
    assert compared(alike).used == (False, False)
    apart = [replace(j, group=i, fold=i % 3) for i, j in enumerate(alike)]
    assert compared(apart).used == (True, False)


def test_the_report_names_what_was_compared():
    scored = [
        HeldOutEpisode(i, 1, np.array([0.6, 0.81234, 0.7, 0.65 + 0.01 * i, 0.5]), fold=i)
        for i in range(3)
    ]
    scored += episodes_of(0, [-0.1, -0.1, -0.1])
    unlabelled, labelled = (report.to_info() for report in compared(scored).reports)
    assert labelled == {
        "choice": "network",
        "regime": "labelled",
        "used": "network",
        "roc_auc": {
            "closed form": 0.6,
            "network": 0.8123,
            "not adapted": 0.7,
            "swapped support": 0.66,
            "permuted labels": 0.5,
        },
        "standard_error": 0.0,
    }
    assert unlabelled == {
        "choice": "network",
        "regime": "unlabelled",
        "used": "closed form",
        "roc_auc": {"closed form": 0.6, "network": 0.5, "not adapted": 0.5},
    }
    assert all(type(auc) is float for auc in labelled["roc_auc"].values())
    assert compared([]).reports == []


def test_quality_is_the_auc_of_what_would_be_used():
    won, lost = episodes_of(0, [0.1, 0.1, 0.1]), episodes_of(1, [-0.1, -0.1, -0.1], closed=0.9)
    assert compared(won + lost).quality == pytest.approx((0.7 + 0.9) / 2)


# --- the size of a correction ---------------------------------------------------------------------
def by_size(best, gain=0.1):
    """ROC AUCs that rise up to the best size and fall from there."""
    return 0.6 + gain * (1.0 - 4.0 * (SIZES - best) ** 2)


def test_the_best_size_over_groups_is_averaged_with_a_quarter_of_six_groups():
    assert chosen_size(np.array([by_size(1.0)] * 6)) == pytest.approx((6 * 1.0 + 6 * 0.25) / 12)
    assert chosen_size(np.array([by_size(0.0)] * 3)) == pytest.approx(6 * 0.25 / 9)
    assert chosen_size(np.array([by_size(0.5)] * 600)) == pytest.approx(0.5, abs=0.01)
    mixed = np.array([by_size(0.0)] * 3 + [by_size(0.5)] * 3)
    assert chosen_size(mixed) == pytest.approx(0.25)


@pytest.mark.parametrize("n_groups", [0, 1, 2])
def test_of_fewer_than_three_groups_the_size_is_a_quarter(n_groups):
    assert chosen_size(np.array([by_size(1.0)] * n_groups)) == 0.25


def corrections(regime, best, n_groups=6):
    return [
        HeldOutEpisode(group, regime, aucs(by_size(best)[0], by_size(best)[-1]), by_size(best))
        for group in range(n_groups)
    ]


def test_each_regime_has_a_size_and_a_report_of_its_own():
    made = corrections(0, 1.0) + corrections(1, 0.25)
    found = HeldOutCorrection(made, "network", OPTIONS)
    assert found.sizes == (pytest.approx(0.625), pytest.approx(0.25))
    unlabelled, labelled = (report.to_info() for report in found.reports)
    assert (unlabelled["used"], unlabelled["size"]) == ("corrected", 0.625)
    assert list(labelled["roc_auc"]) == ["closed form", "corrected", "network", "not adapted"]
    assert labelled["roc_auc"]["corrected"] == pytest.approx(0.7)
    assert labelled["standard_error"] == pytest.approx(0.0, abs=1e-4)
    means = [report.roc_auc["corrected"] for report in found.reports]
    assert found.quality == pytest.approx(np.mean(means))


def test_a_regime_without_episodes_has_a_quarter_and_no_report():
    found = HeldOutCorrection(corrections(0, 1.0), "network", OPTIONS)
    assert found.sizes[1] == 0.25
    assert len(found.reports) == 1
    nothing = HeldOutCorrection([], "network", OPTIONS)
    assert (nothing.sizes, nothing.reports, nothing.quality) == ((0.25, 0.25), [], 0.0)

"""Recipes of the page on monitoring: drift alarms of nonconform, and merged scores."""

import re

import numpy as np
import pytest
from written_pages import PAGES, code_of

from sklearn_fsad import InContextDetector, ProtoNetDetector

PAGE = "docs/monitoring.md"
REASON = "needs nonconform, which needs Python 3.12"
WINDOW = 12


def first_alarm(p_values):
    """Number of the row at which the drift alarm of the page goes, or None."""
    martingales = pytest.importorskip("nonconform.martingales", reason=REASON)
    config = martingales.AlarmConfig(restarted_ville_threshold=100.0)
    bet = martingales.PowerMartingale(0.5, alarm_config=config)
    for i, p in enumerate(p_values):
        if bet.update(float(p)).triggered_alarms:
            return i
    return None


def test_the_code_of_the_page_sees_the_change(capsys):
    pytest.importorskip("nonconform.martingales", reason=REASON)
    recipes = re.findall(r"^```{code-block} python\n(.*?)^```$", PAGES[PAGE], re.M | re.S)
    names = {}
    exec(code_of(PAGE), names)
    for recipe in recipes:
        exec(recipe, names)
        said = re.search(r"changed, seen at row (\d+)", capsys.readouterr().out)
        assert said is not None
        assert 150 < int(said[1]) < 280
    assert len(recipes) == 2


def test_streams_without_a_change_hardly_ever_give_an_alarm():
    alarms = []
    for seed in range(10):
        X = np.random.default_rng(seed).normal(size=(900, 4))
        alarms.append(first_alarm(ProtoNetDetector().fit(X[:100]).p_values(X[100:])))
    assert [alarm for alarm in alarms if alarm is not None] == []


def test_windows_that_overlap_give_false_alarms_and_one_in_each_window_does_not():
    found = []
    for seed in range(6):
        series = np.random.default_rng(seed).normal(size=1000)
        windows = np.lib.stride_tricks.sliding_window_view(series, WINDOW)
        known, later = windows[:200], windows[200 + WINDOW :]
        detector = ProtoNetDetector().fit(known)
        p_values = detector.p_values(later)
        found.append([first_alarm(p) is not None for p in (p_values[::WINDOW], p_values)])
    apart, overlapping = np.mean(found, axis=0)
    assert apart == 0
    assert overlapping > 0.3


def test_p_values_of_merged_scores_keep_their_promise():
    rng, flagged = np.random.default_rng(0), []
    for _ in range(6):
        X, new = rng.normal(size=(100, 3)), rng.normal(size=(300, 3))
        known, later = np.zeros(100), np.zeros(300)
        for detector in (InContextDetector(), ProtoNetDetector()):
            own = -detector.fit(X).score_samples(X)
            known += (own - own.mean()) / own.std()
            later += (-detector.score_samples(new) - own.mean()) / own.std()
        p = (1 + (known >= later[:, None]).sum(axis=1)) / 101
        flagged.append((p <= 0.1).mean())
    assert 0.04 < np.mean(flagged) < 0.14


def test_levels_of_a_rule_that_decides_row_by_row_fall_below_the_smallest_p_value():
    rule = pytest.importorskip("online_fdr.p_values", reason="needs online-fdr").LordPlusPlus
    lord = rule(alpha=0.1, wealth=0.05)
    decisions = [lord.test_one(1 / 101) for _ in range(200)]  # a hundred normal rows
    assert not any(decisions[5:])

"""support_contamination: meta-training on supports that hold anomalies nobody has noticed."""

import numpy as np
import pytest
from families import make_family, unlearned

from sklearn_fsad._process_training import NormalEpisodes
from sklearn_fsad._state import resolve_state

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")
NAMES = ("mix", "mlp", "residual maml", "in context", "meta-fitted np")
COMMON = {"n_normal": (10, 10), "n_query": 5, "targets": [0], "seed": 0}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_learns_otherwise_from_contaminated_supports(name):
    tasks = make_family()
    plain, robust, again = (
        unlearned(name).set_params(support_contamination=share).meta_fit(tasks)
        for share in (0.0, 0.4, 0.4)
    )
    learned = [resolve_state(detector.pretrained).arrays for detector in (plain, robust, again)]
    assert learned[0].keys() == learned[1].keys()
    assert not all(np.array_equal(learned[0][key], learned[1][key]) for key in learned[0])
    for key, value in learned[1].items():
        np.testing.assert_array_equal(value, learned[2][key])


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


def test_without_anomalies_contexts_are_as_they_were():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    plain = NormalEpisodes([rows], None, **COMMON)
    robust = NormalEpisodes([rows], None, support_contamination=0.4, **COMMON)
    for i in range(5):
        np.testing.assert_array_equal(
            np.sort(plain.episode(0, i).support_X, axis=0),
            np.sort(robust.episode(0, i).support_X, axis=0),
        )

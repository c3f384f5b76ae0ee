"""Subclasses with other constructors, thresholds of capped supports, and loaded networks."""

import pickle

import numpy as np
import pytest
import torch
from families import make_detector, make_family, new_task
from pyod.models.knn import KNN

from sklearn_fsad import (
    FewShotSplit,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
    PyODDetector,
    anomaly_scorer,
    to_pyod,
)


class Narrow(MAMLDetector):
    def __init__(self, learner="classifier", random_state=None):
        few = {"max_epochs": 1, "episodes_per_epoch": 8, "n_normal": (4, 16), "n_anomalous": (0, 5)}
        super().__init__(learner=learner, random_state=random_state, gate=False, **few)


class Fixed(ProtoNetDetector):
    def __init__(self, alpha=0.05):
        super().__init__(alpha=alpha, contamination=0.3)


@pytest.mark.usefixtures("few_lessons")
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.AdaptationWarning")
def test_a_constructor_may_take_fewer_parameters(family, task):
    X, y, query, query_y = task
    detector = Narrow(random_state=0).meta_fit(family)
    assert "probability" in detector.pretrained.arrays
    assert detector.fit(X, y).score(query, query_y) > 0.5
    fixed = Fixed().fit(X)
    assert fixed.set_threshold(alpha=0.2).contamination == "auto"
    expected = ProtoNetDetector(alpha=0.2).fit(X)
    assert fixed.offset_ == expected.offset_


@pytest.mark.filterwarnings("ignore:.*left out of the context:UserWarning")
@pytest.mark.parametrize("clean_support", [False, True])
def test_thresholds_of_capped_supports_keep_the_share_of_anomalies(clean_support):
    rng = np.random.default_rng(0)
    y = (rng.random(14_000) < 0.02).astype(int)
    X = rng.normal(size=(len(y), 3)) + 1.3 * y[:, None]
    fresh = rng.normal(size=(4000, 3))
    detector = ProtoNetDetector(max_context=200, clean_support=clean_support).fit(X, y)
    assert (detector.predict(fresh) == -1).mean() < 0.06
    few = ProtoNetDetector(clean_support=clean_support).fit(X[:1500], y[:1500])
    assert abs(detector.offset_ - few.offset_) < 0.5 * few.score_samples(fresh).std()


def test_a_process_without_closed_form_and_training_is_refused(task):
    X, y, _, _ = task
    for alone in ({"anchor": "none"}, {"target_features": (0,)}):
        detector = NeuralProcessDetector(max_epochs=0, **alone)
        with pytest.raises(ValueError, match="max_epochs=0 leaves nothing to predict with"):
            detector.fit(X, y)
        with pytest.raises(ValueError, match="max_epochs=0 leaves nothing to predict with"):
            detector.meta_fit(make_family())


@pytest.mark.parametrize("name", ["meta-fitted mlp", "residual maml", "meta-fitted tnp"])
def test_a_loaded_network_leaves_the_generator_of_torch_alone(name):
    X, y, query, _ = new_task()
    pickled = pickle.dumps(make_detector(name).fit(X, y))
    loaded = pickle.loads(pickled)
    before = torch.random.get_rng_state()
    loaded.predict(query)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("scalar", [np.float32, np.array])
def test_scalars_of_numpy_are_taken_by_adapters_scorers_and_splitters(scalar, task):
    X, y, query, query_y = task
    expected = to_pyod(ProtoNetDetector(), contamination=0.25).fit(X).labels_
    found = to_pyod(ProtoNetDetector(), contamination=scalar(0.25)).fit(X).labels_
    np.testing.assert_array_equal(found, expected)
    detector = ProtoNetDetector().fit(X, y)
    f1 = anomaly_scorer("f1")(detector, query, query_y)
    assert anomaly_scorer(np.array("f1"))(detector, query, query_y) == f1
    seed = np.array(0)
    ours, plain = (list(FewShotSplit(5, 1, random_state=s).split(X, y)) for s in (seed, 0))
    np.testing.assert_array_equal(ours[0][0], plain[0][0])
    assert PyODDetector(KNN(), random_state=np.array(3)).fit(X).offset_ < 0

"""One list of types is enough to load any detector by skops."""

import numpy as np
import pytest
import skops.io
from families import EACH_CLASS, MAKERS, far_off, make_detector
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import ProtoNetDetector, distil
from sklearn_fsad.adapters import AnomalyClassifier, skops_trusted_types
from sklearn_fsad.evidence import ClassifierEvidence, RegressorEvidence
from sklearn_fsad.thresholds import ConformalThreshold

pytestmark = [pytest.mark.usefixtures("few_trees", "few_lessons"), far_off]


def own_evidence(support, rows):
    return np.abs(rows.X - support.mean).max(axis=1)


def loaded(estimator):
    return skops.io.loads(skops.io.dumps(estimator), trusted=skops_trusted_types())


@pytest.mark.parametrize("name", MAKERS)
def test_every_detector_loads_in_a_pipeline_with_that_list_alone(name, task):
    X, y, query, _ = task
    pipe = make_pipeline(StandardScaler(), make_detector(name)).fit(X, y)
    np.testing.assert_array_equal(loaded(pipe).score_samples(query), pipe.score_samples(query))


@pytest.mark.parametrize("name", EACH_CLASS)
def test_a_detector_that_is_not_fitted_loads_too(name):
    detector = make_detector(name)
    assert loaded(detector).pretrained == detector.pretrained


def test_thresholds_and_the_wrapper_for_classifiers_are_in_the_list(task):
    X, y, query, _ = task
    detector = ProtoNetDetector(threshold=ConformalThreshold(0.2))
    fitted = AnomalyClassifier(detector).fit(X, y)
    np.testing.assert_array_equal(loaded(fitted).predict(query), fitted.predict(query))


def test_models_of_users_load_where_skops_knows_them(task):
    X, y, query, _ = task
    evidence = ["support", RegressorEvidence(Ridge()), ClassifierEvidence(LogisticRegression())]
    detector = ProtoNetDetector(evidence=evidence).fit(X, y)
    np.testing.assert_array_equal(
        loaded(detector).score_samples(query), detector.score_samples(query)
    )


def test_a_distilled_detector_is_in_the_list(task):
    X, y, query, _ = task
    quick = {"min_agreement": -1, "hidden": (8,), "n_rows": 1000, "max_epochs": 1}
    copy = distil(ProtoNetDetector().fit(X, y), **quick)
    np.testing.assert_array_equal(loaded(copy).score_samples(query), copy.score_samples(query))


def test_all_names_are_of_the_package():
    names = skops_trusted_types()
    assert names == sorted(set(names))
    assert all(name.startswith("sklearn_fsad.") for name in names)


def test_functions_of_users_are_not_trusted(task):
    X, y, _, _ = task
    detector = ProtoNetDetector(evidence=["nearest_scaled", own_evidence]).fit(X, y)
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException, match="own_evidence"):
        loaded(detector)

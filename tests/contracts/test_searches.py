"""Detectors in searches, over rows and over tasks."""

import numpy as np
import pytest
from families import (
    QUICK,
    new_task,
)
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_fsad import (
    FewShotSplit,
    ProtoNetDetector,
    TaskEstimator,
)

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")


# --- searches -------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:The score ranks rows:UserWarning")  # a tie is what is asked for
@pytest.mark.xdist_group("elsewhere")  # which has workers of joblib already
def test_a_search_in_a_pipeline_gives_the_scores_of_the_detector_alone(meta_fitted):
    X, y, query, query_y = new_task(n_support=30, k_support=6)
    X, y = np.concatenate([X, query]), np.concatenate([y, query_y])
    cv = FewShotSplit(6, 1, n_draws=4, random_state=0)
    pipe = Pipeline([("keep", FunctionTransformer()), ("detector", clone(meta_fitted))])
    grid = [{"detector__alpha": [0.05, 0.2]}, {"detector__contamination": [0.1, "auto"]}]
    search = GridSearchCV(pipe, grid, cv=cv, n_jobs=2).fit(X, y)
    alone = cross_val_score(clone(meta_fitted), X, y, cv=cv)
    for i in range(cv.get_n_splits(X, y)):
        np.testing.assert_array_equal(search.cv_results_[f"split{i}_test_score"], alone[i])
    assert search.best_estimator_[-1].pretrained == meta_fitted.pretrained
    expected = clone(meta_fitted).set_params(alpha=search.best_params_.get("detector__alpha", 0.05))
    np.testing.assert_array_equal(search.score_samples(X), expected.fit(X, y).score_samples(X))
    untrained = cross_val_score(ProtoNetDetector(), X, y, cv=cv)
    assert alone.mean() > untrained.mean() + 0.02


def test_a_search_over_tasks_tries_architectures(family):
    detector = ProtoNetDetector(**{**QUICK, "max_epochs": 3})
    estimator = TaskEstimator(detector, splitter=FewShotSplit(6, 1, n_draws=2, random_state=0))
    grid = {"detector__embedding_dim": [2, None]}
    search = GridSearchCV(estimator, grid, cv=KFold(2), error_score="raise").fit(family)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores.min() > 0.6
    ranks = [
        clone(detector).set_params(embedding_dim=q).meta_fit(family).pretrained for q in (2, None)
    ]
    assert [len(state.arrays["pooled_raw_gain"]) for state in ranks] == [2, 5]
    X, y, query, query_y = new_task()
    assert search.best_estimator_.detector_.fit(X, y).score(query, query_y) > 0.8

"""Of many rows a part is the context: time and memory of ``fit`` are bounded, and it says so."""

import warnings
from time import process_time

import numpy as np
import pytest
from families import (
    EACH_CLASS,
    META_OF_EACH_CLASS,
    far_off,
    make_detector,
    make_family,
    new_task,
    unlearned,
)
from sklearn.metrics import roc_auc_score

MOST = 60
LEFT_OUT = "140 of 200 normal rows are left out of the context .* max_context=60 "

pytestmark = [pytest.mark.usefixtures("few_trees", "few_lessons"), far_off]
every_class = pytest.mark.parametrize("name", [*EACH_CLASS, *META_OF_EACH_CLASS[1:3]])


@pytest.fixture(scope="module")
def many():
    """A support of 200 normals and 6 anomalies, and queries."""
    return new_task(n_support=200, k_support=6)


def capped(name, **given):
    return make_detector(name).set_params(max_context=MOST, **given)


@every_class
def test_a_part_is_the_context_and_a_warning_says_so(name, many):
    X, y, query, query_y = many
    with pytest.warns(UserWarning, match=LEFT_OUT) as issued:
        detector = capped(name).fit(X, y)
    assert len(issued) == 1
    assert issued[0].filename == __file__
    assert len(detector._reference_normals()) == MOST
    assert len(detector.support_X_) == 206
    assert detector.support_kept_.all()
    assert roc_auc_score(query_y, -detector.score_samples(query)) > 0.7
    assert detector.p_values(query).min() < 1.0 / (MOST + 1.0)  # the others count too


@every_class
def test_no_row_is_left_out_of_few(name, many):
    X, y, query, _ = many
    expected = make_detector(name).fit(X, y).decision_function(query)
    found = make_detector(name).set_params(max_context=200).fit(X, y).decision_function(query)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore:.* are left out of the context")
@every_class
def test_neither_the_order_of_rows_nor_partial_fit_changes_a_score(name, many):
    X, y, query, _ = many
    expected = capped(name).fit(X, y).decision_function(query)
    order = np.random.default_rng(0).permutation(len(X))
    found = capped(name).fit(X[order], y[order])
    np.testing.assert_array_equal(found.decision_function(query), expected)
    found = capped(name).fit(X[:100], y[:100]).partial_fit(X[100:], y[100:])
    np.testing.assert_array_equal(found.decision_function(query), expected)


@pytest.mark.filterwarnings("ignore:.* are left out of the context")
@pytest.mark.parametrize("name", EACH_CLASS)
def test_rows_of_the_context_may_be_doubted_and_no_others_are(name, many):
    X = many[0][:200].copy()
    X[:20] += 30.0 * X.std(axis=0)
    detector = capped(name, clean_support=True).fit(X)
    assert 1 <= (~detector.support_kept_).sum() <= 0.4 * MOST
    assert len(detector._adaptation.left_out_by_label()[0]) == detector.support_kept_.sum() - 140


@pytest.mark.filterwarnings("ignore:.* are left out of the context")
@pytest.mark.parametrize("contamination", ["auto", 0.1])
@pytest.mark.parametrize("name", EACH_CLASS)
def test_a_hundred_thousand_rows_are_a_matter_of_seconds(name, contamination):
    X = np.random.default_rng(0).normal(size=(100_000, 5))
    detector = capped(name, contamination=contamination)
    start = process_time()
    detector.fit(X)
    assert process_time() - start < 10.0
    share = (detector.predict(X[:2000]) == -1).mean()
    assert share == pytest.approx(0.1 if contamination == 0.1 else 0.05, abs=0.03)


@pytest.mark.parametrize("name", ["mix", "in context"])
def test_meta_fit_says_nothing_of_its_episodes(name):
    detector = unlearned(name).set_params(max_context=10, episodes_per_epoch=4, max_epochs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* are left out of the context")
        detector.meta_fit(make_family(4))

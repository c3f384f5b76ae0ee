"""A wide table of ones and zeros is a table, for every detector and all that it computes."""

import warnings

import numpy as np
import pytest

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
)
from sklearn_fsad._evidence.family_normals import mahalanobis_scaled, nearest_scaled, off_axis
from sklearn_fsad._evidence.support import Support
from sklearn_fsad._stats.moments import MOST_COLUMNS, are_embeddings
from sklearn_fsad.exceptions import TaskWarning
from sklearn_fsad.plotting import FeatureScoreDisplay


@pytest.fixture(scope="module")
def one_hot():
    """150 columns, each row one of five in each of thirty groups of columns."""
    choice = np.random.default_rng(0).integers(5, size=(40, 30))
    return np.eye(5)[choice].reshape(40, 150)


@pytest.fixture(scope="module")
def embedding():
    return np.random.default_rng(0).normal(size=(40, 150))


@pytest.fixture(scope="module")
def rectified(embedding):
    """Most coordinates of a row are zero, as after a rectified layer of a network."""
    return np.maximum(embedding - 1.0, 0.0)


def test_off_axis_looks_at_scaled_features_of_a_table(one_hot):
    assert one_hot.shape[1] > MOST_COLUMNS
    support = Support(one_hot[:30], one_hot[:0])
    rows = support.rows(one_hot[30:])
    expected = mahalanobis_scaled(support, rows) - 2.0 * nearest_scaled(support, rows)
    np.testing.assert_array_equal(off_axis(support, rows), expected)


@pytest.mark.parametrize("make", [ProtoNetDetector, MAMLDetector])
def test_default_weights_are_those_of_a_table(make, one_hot, embedding):
    wide, narrow, embedded = (
        make().fit(X).state_.arrays["closed"] for X in (one_hot, one_hot[:, :20], embedding)
    )
    np.testing.assert_array_equal(wide, narrow)
    assert (wide != embedded).any()


@pytest.mark.parametrize("make", [ProtoNetDetector, MAMLDetector])
def test_meta_fit_takes_the_default_weights_of_a_table(make, one_hot):
    tasks = [(one_hot + i, None) for i in range(3)]
    with pytest.warns(TaskWarning):  # no anomalies: nothing else is learned
        wide = make(random_state=0).meta_fit(tasks).pretrained
    with pytest.warns(TaskWarning):
        narrow = make(random_state=0).meta_fit([(X[:, :20], None) for X, _ in tasks]).pretrained
    np.testing.assert_array_equal(wide.arrays["closed"], narrow.arrays["closed"])


@pytest.mark.parametrize("make", [ProtoNetDetector, MAMLDetector])
def test_an_embedding_of_many_zeros_has_the_default_weights_of_an_embedding(
    make, embedding, rectified
):
    assert (rectified == 0.0).mean() > 0.8
    weights = [make().fit(X).state_.arrays["closed"] for X in (embedding, rectified)]
    np.testing.assert_array_equal(*weights)


def test_counts_are_a_table_however_many_are_zero():
    counts = np.random.default_rng(0).poisson([[0.2], [0.5], [1.0]], size=(10, 3, 150))
    for rows in np.moveaxis(counts.astype(float), 1, 0):
        assert not are_embeddings(rows)


def test_the_neural_process_scales_each_column_of_a_table(one_hot, embedding, rectified):
    scalers = [
        NeuralProcessDetector(max_epochs=0).fit(X).state_.architecture["scaler"]
        for X in (one_hot, embedding, rectified)
    ]
    assert scalers == ["task", "joint", "joint"]


def test_the_display_of_features_says_that_every_detector_has_their_scores():
    with pytest.raises(TypeError, match="Every detector of this package does"):
        FeatureScoreDisplay.from_estimator(object(), [[0.0]])


@pytest.mark.parametrize("make", [InContextDetector, ProtoNetDetector, MAMLDetector])
@pytest.mark.parametrize("n_anomalous", [0, 3])
def test_a_wide_row_alone_has_the_score_that_it_has_among_others(make, n_anomalous, embedding):
    y = np.r_[np.ones(20 - n_anomalous), -np.ones(n_anomalous)] if n_anomalous else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an untrained network says so
        detector = make().fit(embedding[:20], y)
    alone = [detector.score_samples(row[None])[0] for row in embedding[20:]]
    np.testing.assert_array_equal(detector.score_samples(embedding[20:]), alone)

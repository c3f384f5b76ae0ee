import numpy as np
import pytest

from sklearn_fsad._stats.gaps import GapEvidence, GapFiller, Gaussian


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def related(rng, n=200, d=6):
    """Make rows whose columns share two factors."""
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 0.1 * rng.normal(size=(n, d))


def with_gaps(rng, X, share=0.2):
    gone = rng.random(X.shape) < share
    gone[:, 0] &= ~gone[:, 1:].all(axis=1)
    return np.where(gone, np.nan, X)


# --- the Gaussian ---------------------------------------------------------------------------------
def test_missing_entries_become_their_conditional_means(rng):
    gaussian = Gaussian.of(related(rng))
    covariance = gaussian.factor @ gaussian.factor.T + gaussian.rest * np.eye(6)
    row = np.array([[np.nan, 0.3, np.nan, -1.0, 0.5, 0.2]])
    known = ~np.isnan(row[0])
    weights = np.linalg.solve(
        covariance[np.ix_(known, known)], row[0, known] - gaussian.mean[known]
    )
    expected = gaussian.mean[~known] + covariance[np.ix_(~known, known)] @ weights
    np.testing.assert_allclose(gaussian.filled(row)[0, ~known], expected)


def test_a_row_without_entries_becomes_the_mean(rng):
    gaussian = Gaussian.of(related(rng))
    np.testing.assert_allclose(gaussian.filled(np.full((1, 6), np.nan))[0], gaussian.mean)


def test_more_columns_than_factors_share_their_rest(rng):
    gaussian = Gaussian.of(rng.normal(size=(60, 50)))
    assert gaussian.factor.shape == (50, 10)
    assert gaussian.rest > 0


# --- filling --------------------------------------------------------------------------------------
def test_filled_entries_are_nearer_than_means(rng):
    X = related(rng)
    rows = with_gaps(rng, X)
    gone = np.isnan(rows)
    filler = GapFiller(rows, np.ones(len(X), dtype=bool))
    means = np.broadcast_to(np.nanmean(rows, axis=0), X.shape)
    for filled in (filler.fill(rows), filler.filled_support()):
        np.testing.assert_array_equal(filled[~gone], X[~gone])
        error = np.abs(filled - X)[gone].mean()
        assert error < 0.5 * np.abs(means - X)[gone].mean()


def test_rows_of_a_support_are_filled_without_themselves(rng):
    X = related(rng, 12, 3)
    X[0, 1] = np.nan
    moved = X.copy()
    moved[0, 0] += 0.1
    filler, other = (GapFiller(rows, np.ones(12, dtype=bool)) for rows in (X, moved))
    assert filler.filled_support()[0, 1] != filler.fill(X[:1])[0, 1]
    assert other.filled_support()[0, 1] != filler.filled_support()[0, 1]


def test_units_change_nothing(rng):
    X = with_gaps(rng, related(rng, 30))
    units = np.array([0.1, 1.0, 100.0, 2.0, 1.0, 7.0])
    normal = np.arange(30) < 25
    expected = GapFiller(X, normal).filled_support() * units
    np.testing.assert_allclose(GapFiller(X * units, normal).filled_support(), expected, rtol=1e-6)


def test_filled_entries_stay_within_the_range_of_the_support(rng):
    X = with_gaps(rng, related(rng))
    filled = GapFiller(X, np.ones(len(X), dtype=bool)).fill(np.array([[50.0, *[np.nan] * 5]]))
    assert (filled[0, 1:] <= np.nanmax(X[:, 1:], axis=0)).all()
    assert (filled[0, 1:] >= np.nanmin(X[:, 1:], axis=0)).all()


def test_a_column_without_entries_counts_for_nothing(rng):
    X = related(rng, 20)
    X[:, 2] = np.nan
    filler = GapFiller(X, np.ones(20, dtype=bool))
    rows = np.ones((1, 6))
    assert filler.fill(rows)[0, 2] == 0.0
    assert (filler.filled_support()[:, 2] == 0.0).all()


def test_a_column_that_only_anomalies_have_is_scaled_by_them(rng):
    X = related(rng, 20)
    X[:15, 2], X[15:, 2] = np.nan, 1e6 + np.arange(5)
    filled = GapFiller(X, np.arange(20) < 15).filled_support()
    assert (np.abs(filled[:, 2] - 1e6) < 10).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_are_filled(rng, n):
    X = rng.normal(size=(n, 3))
    X[0, 0] = np.nan
    filler = GapFiller(X, np.ones(n, dtype=bool))
    assert np.isfinite(filler.filled_support()).all()
    assert np.isfinite(filler.fill(np.full((2, 3), np.nan))).all()


def test_a_row_is_filled_the_same_whatever_rows_join_it(rng):
    filler = GapFiller(with_gaps(rng, related(rng, 40)), np.ones(40, dtype=bool))
    rows = with_gaps(rng, related(rng, 300), 0.4)
    together = filler.fill(rows)
    for i in (0, 7, 299):
        np.testing.assert_array_equal(filler.fill(rows[i : i + 1])[0], together[i])


# --- which entries are missing --------------------------------------------------------------------
def test_rows_without_gaps_get_nothing_from_a_support_without_gaps():
    evidence = GapEvidence(np.zeros((30, 5), dtype=bool), 0)
    assert not evidence(np.zeros((4, 5), dtype=bool)).any()


def test_a_gap_where_the_support_has_none_tells_more_than_a_common_one(rng):
    missing = np.zeros((50, 4), dtype=bool)
    missing[:, 0] = rng.random(50) < 0.5
    common, new = np.eye(4, dtype=bool)[[0, 1]]
    scores = GapEvidence(missing, 0)(np.array([common, new]))
    assert scores[1] > scores[0] + 0.1


def test_an_entry_where_the_support_has_none_tells_too():
    missing = np.zeros((50, 4), dtype=bool)
    missing[:, 3] = True
    usual, new = missing[0], np.zeros(4, dtype=bool)
    scores = GapEvidence(missing, 0)(np.array([usual, new]))
    assert scores[1] > scores[0]


def test_the_share_of_missing_entries_counts_half_with_labels(rng):
    missing = rng.random((50, 6)) < 0.3
    rows = np.zeros((2, 6), dtype=bool)
    rows[1, :2] = True  # no surprise
    without, with_labels = (np.diff(GapEvidence(missing, k)(rows))[0] for k in (0, 5))
    assert without == pytest.approx(2 * with_labels)
    assert without == pytest.approx(0.5 * 2 / 6, rel=0.1)

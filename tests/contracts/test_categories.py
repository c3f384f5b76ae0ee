"""Categories: what detectors that read them promise of frames with text and truth values."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from families import make_family
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from sklearn_fsad import (
    InContextDetector,
    MAMLDetector,
    NeuralProcessDetector,
    ProtoNetDetector,
    TaskSet,
)
from sklearn_fsad.model_selection import FewShotSplit
from sklearn_fsad.pipeline import make_table_pipeline
from sklearn_fsad.plotting import ShotCurveDisplay

READERS = {
    "in context": InContextDetector,
    "prototypes": ProtoNetDetector,
    "mlp": lambda: ProtoNetDetector(embedding="mlp", random_state=0),
}


@pytest.fixture(params=READERS)
def reader(request):
    return READERS[request.param]()


def rows(n, seed=0):
    """Numbers, a category, a truth value and gaps."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "heat": rng.normal(size=n),
            "maker": rng.choice(["Abe", "Bo", "Cy"], n),
            "on": rng.random(n) < 0.7,
            "load": rng.normal(size=n),
        }
    )
    frame.loc[3, "maker"] = None
    frame.loc[5, "heat"] = np.nan
    return frame


def test_a_new_category_scores_higher(reader):
    frame = rows(60)
    reader.fit(frame)
    changed = frame.iloc[20:40].assign(heat=lambda f: f["heat"] + 1e-9)
    new = changed.assign(maker="Zed")
    assert (reader.score_samples(new) < reader.score_samples(changed)).mean() > 0.8
    assert (reader.feature_scores(new.iloc[:5]).argmax(axis=1) == 1).mean() > 0.5


def test_an_anomaly_by_its_category_alone_is_learned():
    rng = np.random.default_rng(0)
    frame = rows(200)
    y = np.zeros(200, dtype=int)
    y[:60] = 1
    frame["maker"] = np.where(
        y, rng.choice(["Dee", "Bo"], 200), rng.choice(["Abe", "Cy", "Bo"], 200)
    )
    train = np.r_[0:6, 60:110]
    rest = np.setdiff1d(np.arange(200), train)
    for kind in (InContextDetector, ProtoNetDetector):
        detector = kind().fit(frame.iloc[train], y[train])
        assert detector.score(frame.iloc[rest], y[rest]) > 0.7


def test_the_order_of_rows_changes_nothing(reader):
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame).score_samples(query)
    found = clone(reader).fit(frame.iloc[::-1]).score_samples(query)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_array_equal(reader.score_samples(query.iloc[4:7]), expected[4:7])


def test_the_names_of_categories_do_not_matter(reader):
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame).score_samples(query)
    names = {"Abe": "z", "Bo": "y", "Cy": "x"}
    other = [f.assign(maker=f["maker"].map(names)) for f in (frame, query)]
    found = clone(reader).fit(other[0]).score_samples(other[1])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_libraries_agree(reader):
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame).score_samples(query)
    for made in (pl.from_pandas, pa.Table.from_pandas, lambda f: f.convert_dtypes()):
        found = clone(reader).fit(made(frame)).score_samples(made(query))
        np.testing.assert_array_equal(found, expected)


def test_frames_of_dask_read_as_those_of_pandas():
    pytest.importorskip("skrub", reason="skrub is not installed")
    dask = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    frame, query = rows(40), rows(20, seed=1)
    for detector in (InContextDetector(), make_table_pipeline(InContextDetector())):
        expected = detector.fit(frame).score_samples(query)
        parts = [dask.from_pandas(f, npartitions=3) for f in (frame, query)]
        np.testing.assert_array_equal(detector.fit(parts[0]).score_samples(parts[1]), expected)


def test_arrays_with_named_columns_read_as_frames(reader):
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame).score_samples(query)
    named = clone(reader).set_params(categorical_features=[1, 2])
    found = named.fit(frame.to_numpy(dtype=object)).score_samples(query.to_numpy(dtype=object))
    np.testing.assert_array_equal(found, expected)


def test_parts_add_up(reader):
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame).score_samples(query)
    parts = clone(reader).fit(frame.iloc[:10]).partial_fit(frame.iloc[10:])
    np.testing.assert_allclose(parts.score_samples(query), expected, rtol=1e-9)


def test_pickles_and_searches_keep_categories(reader):
    frame, query = rows(40), rows(20, seed=1)
    y = np.repeat([0, 1], [32, 8])
    again = pickle.loads(pickle.dumps(reader.fit(frame, y)))
    np.testing.assert_array_equal(again.score_samples(query), reader.score_samples(query))
    split = FewShotSplit(10, 2, n_draws=2, random_state=0)
    search = GridSearchCV(clone(reader), {"alpha": [0.05, 0.1]}, cv=split, error_score="raise")
    with pytest.warns(UserWarning, match="score"):
        search.fit(frame, y)
    assert np.isfinite(search.best_score_)


def test_a_failed_fit_keeps_the_categories_of_before(reader):
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame).score_samples(query)
    bad = frame.assign(maker="x", load="much")
    bad.loc[0, "heat"] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        reader.fit(bad)
    np.testing.assert_array_equal(reader.score_samples(query), expected)


def test_a_word_in_a_column_of_numbers_is_refused_by_its_place(reader):
    reader.fit(rows(40))
    bad = rows(10).astype({"load": object})
    bad.loc[4, "load"] = "much"
    with pytest.raises(ValueError, match="'much' in column 'load', row 4"):
        reader.score_samples(bad)


def test_other_columns_are_refused_by_their_names(reader):
    reader.fit(rows(40))
    with pytest.raises(ValueError, match="feature names"):
        reader.score_samples(rows(10)[["maker", "heat", "on", "load"]])
    with pytest.raises(ValueError, match="feature"):
        reader.score_samples(rows(10)[["heat", "maker", "on"]])


def test_reports_show_the_category():
    frame = rows(60)
    detector = InContextDetector().fit(frame)
    query = frame.iloc[20:24].assign(maker="Zed", heat=0.1)
    found = detector.report(query)
    words = found[found["column_1"] == "maker"]
    assert len(words)
    assert set(words["value_1"]) == {"Zed"}
    assert words["usual_low_1"].isna().all()


def test_none_means_numbers_alone(reader):
    with pytest.raises(ValueError, match="could not convert string"):
        reader.set_params(categorical_features=None).fit(rows(40))


def test_dates_are_refused_by_their_column(reader):
    frame = rows(40).assign(day=pd.date_range("2026-01-01", periods=40))
    with pytest.raises(ValueError, match="in column 'day'"):
        reader.fit(frame)


@pytest.mark.parametrize("kind", [MAMLDetector, NeuralProcessDetector])
def test_others_say_what_reads_text(kind):
    with pytest.raises(ValueError, match=r"'maker', row 0.*make_table_pipeline"):
        kind().fit(rows(40))


def test_a_word_among_numbers_to_score_is_to_be_mended(reader):
    query = rows(40).iloc[:3].assign(heat=[0.1, "ERR", 0.3])
    with pytest.raises(ValueError, match=r"'ERR' in column 'heat', row 1\. .* mend the entry"):
        reader.fit(rows(40)).predict(query)


def test_what_was_meta_fitted_on_numbers_reads_no_categories():
    tasks = [(X[:, :4], y) for X, y in make_family(4)]
    detector = ProtoNetDetector(max_epochs=1, episodes_per_epoch=8).meta_fit(tasks)
    with pytest.raises(ValueError, match=r"Column 'maker' holds .*make_table_pipeline"):
        detector.fit(rows(40))


@pytest.mark.parametrize("kind", [InContextDetector, ProtoNetDetector])
@pytest.mark.parametrize("n_values", [5, 20, 50])
def test_a_column_of_many_values_hides_no_anomalies_in_others(kind, n_values):
    rng = np.random.default_rng(0)

    def made(n):
        frame = pd.DataFrame(rng.normal(size=(n, 6)), columns=list("abcdef"))
        return frame.assign(kind=[f"v{i}" for i in rng.integers(0, n_values, n)])

    query = made(200)
    query.iloc[100:, :2] += 5
    flagged = kind().fit(made(50)).predict(query) == -1
    assert flagged[100:].mean() > 0.8
    assert flagged[:100].mean() < 0.15


def test_equal_values_of_several_types_are_equal(reader):
    frame = rows(40).assign(code=np.repeat(["1", "2", "A", "B"], 10))
    query = frame.iloc[:20]
    expected = reader.fit(frame).score_samples(query)
    found = reader.score_samples(query.astype({"code": int}))
    np.testing.assert_array_equal(found, expected)


def test_a_word_among_numbers_is_refused_in_fit_too(reader):
    frame = rows(40).astype({"load": object})
    frame.loc[7, "load"] = "ERR 12"
    with pytest.raises(ValueError, match="'ERR 12' in column 'load', row 7"):
        reader.fit(frame)


def test_a_missing_column_is_refused_by_partial_fit(reader):
    reader.fit(rows(40))
    with pytest.raises(ValueError, match="feature"):
        reader.partial_fit(rows(10)[["heat"]])


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**30])
@pytest.mark.parametrize("kind", [InContextDetector, ProtoNetDetector])
def test_the_unit_of_the_numbers_does_not_matter(kind, scale):
    reader, numbers = kind(), ["heat", "load"]
    y = np.repeat([0, 1], [32, 8])
    frame, query = rows(40), rows(20, seed=1)
    expected = reader.fit(frame, y).score_samples(query)
    for f in (frame, query):
        f[numbers] = f[numbers] * scale
    found = clone(reader).fit(frame, y).score_samples(query)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-250, 1e-200, 1e-160])
def test_numbers_next_to_zero_give_finite_scores(reader, scale):
    frame, query = rows(40), rows(20, seed=1)
    for f in (frame, query):
        f[["heat", "load"]] = f[["heat", "load"]] * scale
    for y in (None, np.repeat([0, 1], [32, 8])):
        assert np.isfinite(clone(reader).fit(frame, y).score_samples(query)).all()


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("as_rows", [lambda f: f, lambda f: f.to_numpy(dtype=object)])
def test_words_where_fit_saw_no_value_are_refused_with_the_reason(reader, as_rows):
    numbers = rows(40)[["heat", "load"]]
    reader.fit(as_rows(numbers.assign(note=None)))
    for method in (reader.predict, reader.partial_fit):
        with pytest.raises(ValueError, match=r"row 0\. But fit saw no value in column ('note'|2)"):
            method(as_rows(numbers.assign(note="x")))
    with pytest.raises(ValueError, match="But fit saw no value in column 2"):
        reader.predict(numbers.assign(note="x").to_numpy(dtype=object))
    with pytest.raises(ValueError, match=r"'x' in column ('load'|1), row 0\. If the column holds"):
        reader.predict(as_rows(numbers.assign(load="x", note=None)))


@pytest.mark.parametrize("reads", [lambda tasks: InContextDetector().meta_fit(tasks), TaskSet])
def test_words_in_tasks_are_refused_with_the_way_out(reads):
    pytest.importorskip("skrub", reason="skrub is not installed")
    told = r"Task 0: .*'maker', row 0\. Tasks hold numbers: read tables by .*meta_fit_pipeline, or"
    with pytest.raises(ValueError, match=told) as raised:
        reads([(rows(20), None)] * 3)
    assert "by fit of InContextDetector" not in str(raised.value)
    pipe = make_table_pipeline(InContextDetector()).fit(rows(20))
    assert len(TaskSet([(pipe[:-1].transform(rows(20)), None)] * 3).tasks) == 3


def test_curves_of_shots_and_cross_validation_read_categories():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
    pyplot.switch_backend("agg")
    pytest.importorskip("skrub", reason="skrub is not installed")
    frame, y = rows(60), np.tile([0, 0, 0, 0, 1], 12)
    frame["heat"] += 4.0 * y
    for made in (lambda f: f, pl.from_pandas):
        scores = cross_val_score(InContextDetector(), made(frame), y, cv=StratifiedKFold(3))
        assert scores.mean() > 0.8
    for estimator in (InContextDetector(), make_table_pipeline(InContextDetector())):
        shown = ShotCurveDisplay.from_estimator(
            estimator, [(frame, y)] * 2, shots=(0, 2), n_draws=2, random_state=0
        )
        assert next(iter(shown.values.values())).min() > 0.6
    pyplot.close("all")

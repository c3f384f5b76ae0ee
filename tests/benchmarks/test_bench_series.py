"""The benchmark of series, and of false alarms on them, made small."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer

MODULES = ("measures.series", "measures.series_alarms", "methods.series", "protocols.series")
PROTOTYPES = "prototypes=sklearn_fsad:ProtoNetDetector(random_state=0)"
QUICK = "prototypes=sklearn_fsad:ProtoNetDetector(max_epochs=1,episodes_per_epoch=4,random_state=0)"
ONSET, END = 100, 180


def recording(bench, seed=0, n=260):
    """Steps with a shift of one channel in the middle."""
    X = np.random.default_rng(seed).normal(size=(n, 3))
    y = (np.arange(n) >= ONSET) & (np.arange(n) < END)
    X[y, 0] += 4.0
    return bench.protocols.families.Task(f"made_{seed}", "made", X, y.astype(np.int64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bench):
    """Three recordings in two groups, and one without an anomaly."""
    path = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate(["pump_0", "pump_1", "fan_0", "calm"]):
        task = recording(bench, seed)
        X, y = (task.X[:ONSET], 0 * task.y[:ONSET]) if name == "calm" else (task.X, task.y)
        np.savez(path / f"{name}.npz", X=X, y=y)
    return path


# --- what is fitted to and tested on --------------------------------------------------------------
def test_tested_steps_are_later_and_far_from_the_support(bench):
    protocol = bench.protocols.series.SeriesProtocol((20, 40), (0, 1, 2))
    for episode in protocol.episodes(recording(bench)):
        assert episode.test.min() == episode.n + 31
        assert np.abs(episode.test[:, None] - episode.steps).min() >= 32
        assert len(episode.steps) == episode.n + 16 * episode.k
        assert episode.support_y.sum() == 16 * episode.k
        assert 0 < episode.test_y.sum() < len(episode.test)
        if episode.k == 0:  # nothing else is left out
            assert len(episode.test) == 260 - episode.n - 31


def test_drawn_stretches_are_the_same_in_every_cell_and_share_no_step(bench):
    task, make = recording(bench), bench.protocols.series.SeriesProtocol
    drawn = {seed: list(make((20, 40), (1, 2), seed).episodes(task)) for seed in range(6)}
    for short, both, later, _ in drawn.values():
        assert both.support_y.sum() == len(set(both.steps[20:])) == 32
        assert (np.diff(both.steps) > 0).all()
        assert set(short.steps) < set(both.steps)
        np.testing.assert_array_equal(short.steps[20:], later.steps[40:])
    assert len({episodes[0].steps[20] for episodes in drawn.values()}) > 1


@pytest.mark.parametrize(("n", "k", "told"), [(80, 0, "first 112 steps"), (20, 2, "too short")])
def test_a_recording_that_does_not_allow_a_support_is_refused(bench, n, k, told):
    task = recording(bench)
    y = task.y * (np.arange(260) < ONSET + 20) if k else task.y
    task = bench.protocols.families.Task("short", "made", task.X, y)
    with pytest.raises(ValueError, match=told):
        bench.protocols.series.episode_of(task, n, k)


# --- methods --------------------------------------------------------------------------------------
def test_windows_end_with_their_step_and_do_not_reach_across_a_gap(bench):
    class Keeps:
        uses_labels = needs_labels = True

        def fit(self, X, y):
            self.X_, self.y_ = X, y

        def anomaly_score(self, X):
            return X[:, -1]

    base, series = Keeps(), bench.methods.series
    flat = FunctionTransformer(lambda windows: windows.reshape(len(windows), -1))
    X = np.arange(60.0)[:, None]
    times = np.concatenate([np.arange(30), np.arange(100, 130)])
    method = series.OnWindows(base, flat).fit(X, np.repeat([0, 0, 1], [30, 14, 16]), times)
    assert base.X_.shape == (15 + 16, 16)  # whole windows of normals, all of anomalies
    np.testing.assert_array_equal(base.X_[:15, 0], np.arange(15))
    np.testing.assert_array_equal(base.X_[15], [np.nan, *range(30, 45)])  # the gap is before 30
    np.testing.assert_array_equal(method.anomaly_score(X), [15.0] * 15 + list(range(15, 60)))


def test_an_autoregression_is_surprised_by_what_does_not_follow_and_not_by_the_level(bench):
    steps = np.arange(300)
    X = np.column_stack([np.sin(steps / 5.0), np.cos(steps / 7.0)])
    X += np.random.default_rng(0).normal(scale=0.01, size=X.shape)
    X[250] += 1.0
    ridge = bench.methods.base.Scaled(bench.methods.series.Autoregression())
    method = ridge.fit(X[:100], np.zeros(100, dtype=int))
    scores = method.anomaly_score(X)
    assert len(scores) == 300
    assert scores.argmax() in (250, 251, 252)  # the jump, and what it makes expect
    assert scores.max() > 3 * scores[120:240].max()


def test_every_baseline_finds_a_shift_and_scores_every_step(bench):
    task = recording(bench)
    (episode,) = bench.protocols.series.SeriesProtocol((50,), (1,)).episodes(task)
    for name, make in bench.methods.series.series_baselines().items():
        method = make(0).fit(episode.support_X, episode.support_y, episode.steps)
        scores = method.anomaly_score(task.X)
        assert scores.shape == task.y.shape, name
        assert bench.measures.series.quality(episode, scores)["auc"] > 0.85, name


def test_only_aeon_sees_later_steps(bench):
    task = recording(bench)
    (episode,) = bench.protocols.series.SeriesProtocol((50,), (1,)).episodes(task)
    for name, make in bench.methods.series.series_baselines().items():
        method = make(0).fit(episode.support_X, episode.support_y, episode.steps)
        whole, part = method.anomaly_score(task.X)[:150], method.anomaly_score(task.X[:150])
        assert name.endswith("aeon") or np.allclose(whole, part), name


def test_volume_under_the_surface_is_that_of_aeon_where_there_is_one(bench):
    y = np.repeat([0, 1, 0], [40, 20, 40])
    vus = bench.measures.series.vus_pr(y, y + np.linspace(0.0, 0.5, 100))
    assert np.isnan(vus) or 0.8 < vus <= 1.0


# --- the commands ---------------------------------------------------------------------------------
def run(bench, folder, results, *words):
    return bench.main(["series", *words, "--data", str(folder), "--results", str(results)])


def test_a_detector_stands_beside_itself_on_windows_and_meta_fitted(bench, folder, tmp_path):
    words = ("--n", "30", "--k", "0", "1", "--label", "made", "--detector", QUICK)
    words += ("--only", "knn, means", "forest, steps", "--meta", "groups")
    assert run(bench, folder, tmp_path, *words) == 0
    frame = pd.read_csv(tmp_path / "series_made.csv")
    kinds = ["steps", "statistics", "mean", "raw"]
    kinds += [f"{kind}, groups held out" for kind in ("steps", "windows")]
    counts = frame.groupby("method").size().to_dict()
    assert counts.pop("forest, steps") == 3  # it needs labels
    assert counts == {**{f"prototypes, {kind}": 6 for kind in kinds}, "knn, means": 6}
    assert frame.auc.between(0, 1).all()
    text = (tmp_path / "series_made.md").read_text()
    assert "## Mean ROC AUC" in text
    assert "meta_fit of prototypes, windows, groups held out" in text
    twice = 2 * [str(tmp_path / "series_made.csv")]  # what is known is not taken again
    again = (*words, "--label", "again", "--reuse", *twice)
    assert run(bench, folder, tmp_path, *again) == 0
    pd.testing.assert_frame_equal(frame, pd.read_csv(tmp_path / "series_again.csv"))
    assert (
        "- taken from series_made.csv: knn, means; forest"
        in (tmp_path / "series_again.md").read_text()
    )
    other = (*words, "--k", "0", "2", "--reuse", str(tmp_path / "series_made.csv"))
    assert run(bench, folder, tmp_path, *other) == 2


def test_a_detector_of_series_is_taken_as_it_is_and_one_that_fails_is_told(
    bench, folder, tmp_path, monkeypatch
):
    class Refuses:
        def fit(self, X, y=None, *, times=None):
            raise ValueError("no labels,\nplease") if np.any(y) else ValueError("no")

        def score_samples(self, X, *, times=None): ...

    monkeypatch.setitem(sys.modules, "refusing_module", SimpleNamespace(Refuses=Refuses))
    words = ("--n", "30", "--k", "1", "--only", "--detector", "mine=refusing_module:Refuses")
    assert run(bench, folder, tmp_path, *words, "--label", "made") == 1
    frame = pd.read_csv(tmp_path / "series_made.csv")
    assert set(frame.method) == {"mine"}
    assert frame.auc.eq(0.5).all()
    told = "- **mine failed on 3 supports**, which count as equal scores; first: ValueError: no lab"
    assert told in (tmp_path / "series_made.md").read_text()


def test_a_baseline_or_recording_that_there_is_not_is_refused(bench, folder, tmp_path, capsys):
    assert run(bench, folder, tmp_path, "--only", "nobody") == 2
    assert "No such baseline: nobody" in capsys.readouterr().err
    assert run(bench, folder, tmp_path, "--tables", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_false_alarms_are_counted_on_steps_and_on_windows(bench, folder, tmp_path):
    words = ("--n", "40", "60", "--draws", "1", "--later", "60", "--detector", PROTOTYPES)
    assert (
        bench.main(["series", "alarms", "--data", str(folder), "--results", str(tmp_path), *words])
        == 0
    )
    frame = pd.read_csv(tmp_path / "series_alarms.csv")
    counts = frame.groupby(["method", "n", "series"]).size()
    assert counts["prototypes, windows", 40, "recordings"] == 2 * 4
    assert ("prototypes, steps", 60, "recordings") not in counts.index  # too few later steps
    assert frame.alarms.between(0, 1).all()
    steps = frame[frame.method == "prototypes, steps"]
    assert (steps.independent == steps.n).all()
    assert not steps.warned.any()
    windows = frame[frame.method == "prototypes, windows"]
    assert (windows.warned == (windows.alpha * (windows.independent + 1) < 1.0)).all()


def test_made_series_are_as_correlated_as_they_say_and(bench):
    alarms = bench.measures.series_alarms
    X = alarms.autoregressive(0.9, 20_000, np.random.default_rng(0))
    X = X - X.mean(axis=0)
    correlation = (X[1:] * X[:-1]).sum(axis=0) / (X**2).sum(axis=0)
    np.testing.assert_allclose(correlation, 0.9, atol=0.02)

"""Data sets: made, fetched from a server of our own, or read from a folder."""

import hashlib
import http.server
import logging
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from families import make_family
from sklearn.datasets import load_digits

from sklearn_fsad.datasets import (
    fetch_adbench,
    fetch_mvtec_embeddings,
    fetch_skab,
    get_data_home,
    load_digits_tasks,
    make_related_tasks,
    make_sinusoid_tasks,
    tasks_from_folder,
)
from sklearn_fsad.datasets._registry import ADBENCH, MVTEC, SKAB
from sklearn_fsad.exceptions import FetchError, TaskWarning

SENSORS = ("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature",
           "Thermocouple", "Voltage", "Volume Flow RateRMS")  # fmt: skip


def need(*modules):
    for module in modules:
        pytest.importorskip(module, reason=f"needs {module}, of the extra 'data'")


# --- made ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [make_related_tasks, make_sinusoid_tasks])
def test_made_tasks_are_as_asked_and_repeatable(make):
    tasks = make(3, n_normal=11, n_anomalous=4, random_state=7)
    assert [len(task.normals) for task in tasks] == [11] * 3
    assert [len(task.anomalies) for task in tasks] == [4] * 3
    again, other = (make(3, n_normal=11, n_anomalous=4, random_state=seed) for seed in (7, 8))
    np.testing.assert_array_equal(tasks[2].X, again[2].X)
    assert (tasks[0].X != other[0].X).any()
    assert len(make(1, n_anomalous=0)[0].anomalies) == 0
    with pytest.raises(ValueError, match="n_tasks=0"):
        make(0)


def test_related_tasks_share_how_normals_vary_and_anomalies_leave():
    two = [t for seed in (0, 1) for t in make_related_tasks(1, n_normal=400, random_state=seed)]
    bases = [np.linalg.svd(t.normals - t.normals.mean(axis=0))[2][:2] for t in two]
    np.testing.assert_allclose(np.linalg.svd(bases[0] @ bases[1].T)[1], 1.0, atol=0.02)
    moved = [t.anomalies.mean(axis=0) - t.normals.mean(axis=0) for t in two]
    rest = [m - b.T @ (b @ m) for m, b in zip(moved, bases, strict=True)]
    assert rest[0] @ rest[1] > 0.8 * np.linalg.norm(rest[0]) * np.linalg.norm(rest[1])
    with pytest.raises(ValueError, match="n_features"):
        make_related_tasks(n_features=2)


def test_normals_of_a_sinusoid_task_lie_on_one_sine():
    task = make_sinusoid_tasks(1, noise=0.0, random_state=0)[0]
    x, y = task.normals.T
    coefficients, residual, *_ = np.linalg.lstsq(np.c_[np.sin(x), np.cos(x)], y)
    assert residual[0] < 1e-20
    expected = np.c_[np.sin(task.anomalies[:, 0]), np.cos(task.anomalies[:, 0])] @ coefficients
    assert np.abs(task.anomalies[:, 1] - expected).min() > 0.4


def test_digits_share_no_image_and_no_new_digit():
    digits = load_digits_tasks(new_digits=(8, 9), test_size=0.3, random_state=0)
    assert digits.tasks.names == list(range(8))
    assert digits.new_tasks.names == [8, 9]
    images = {tuple(row) for row in digits.tasks[0].X}
    assert not images & {tuple(row) for row in digits.new_tasks[0].X}
    X, digit = load_digits(return_X_y=True)
    of_new = {tuple(row) for row in X[digit >= 8]}
    assert not images & of_new
    for wrong in ((), (10,), range(9)):
        with pytest.raises(ValueError, match="new_digits"):
            load_digits_tasks(new_digits=wrong)


# --- fetched ------------------------------------------------------------------------------------
def write_table(path, n=30, d=4, k=3, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    y = np.zeros(n)
    y[:k] = 1
    np.savez_compressed(path, X=np.random.default_rng(seed).normal(size=(n, d)), y=y)
    return path


def write_recording(path, n=20, labels=True, sensors=SENSORS):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["datetime", *sensors, *(["anomaly", "changepoint"] if labels else [])]
    rows = [
        [f"2020-03-09 10:14:{i:02}", *(f"{i + j / 7:.4f}" for j in range(len(sensors)))]
        + (["1.0" if i > 15 else "0.0", "0.0"] if labels else [])
        for i in range(n)
    ]
    path.write_text("\n".join(";".join(row) for row in [header, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A web server on this machine: its folder, its address, and the paths it was asked for."""
    folder, asked = tmp_path_factory.mktemp("server"), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    handler = partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()


@pytest.fixture
def table(server, monkeypatch):
    """A table that ``fetch_adbench("cardio")`` finds on our server."""
    need("pooch")
    folder, address, asked = server
    path = write_table(folder / "6_cardio.npz")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    file = replace(ADBENCH["cardio"], urls=(f"{address}6_cardio.npz",), size=(30, 4, 3))
    logging.getLogger("pooch").setLevel("ERROR")
    asked.clear()

    def register(**changes):
        monkeypatch.setitem(ADBENCH, "cardio", replace(file, **changes))

    register(sha256=sha256)
    return path, register, asked


def test_a_table_is_downloaded_once_and_kept(table, tmp_path):
    _, _, asked = table
    bunch = fetch_adbench("6_cardio", data_home=tmp_path)
    assert bunch.data.shape == (30, 4)
    assert bunch.target.sum() == 3
    assert Path(bunch.filename) == tmp_path / "adbench/Classical/6_cardio.npz"
    assert Path(bunch.filename).exists()
    X, y = fetch_adbench("cardio", data_home=tmp_path, return_X_y=True, download_if_missing=False)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)
    assert len(asked) == 1


def test_the_environment_names_the_data_folder(table, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_FSAD_DATA", str(tmp_path / "elsewhere"))
    assert get_data_home() == tmp_path / "elsewhere"
    fetch_adbench("cardio")
    assert (tmp_path / "elsewhere/adbench/Classical/6_cardio.npz").exists()
    monkeypatch.delenv("SKLEARN_FSAD_DATA")
    assert get_data_home() == Path.home() / "sklearn_fsad_data"


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # numpy leaves it open
@pytest.mark.parametrize("fault", ["other bytes", "truncated", "html", "other table", "pickle"])
@pytest.mark.parametrize("known", [True, False], ids=["sha256", "no sha256"])
def test_a_corrupted_download_is_never_used(table, tmp_path, fault, known):
    path, register, _ = table
    if not known:
        register(sha256=None)
    whole = path.read_bytes()
    if fault == "other bytes":  # in the middle of the compressed rows
        path.write_bytes(whole[:300] + bytes(b ^ 255 for b in whole[300:320]) + whole[320:])
    elif fault == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif fault == "html":
        path.write_text("<html>moved</html>")
    elif fault == "other table":
        write_table(path, n=29)
    else:
        np.savez(path, X=np.array([[object()]]), y=np.array([0]))
    with pytest.raises(FetchError, match="Cannot fetch"):
        fetch_adbench("cardio", data_home=tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_one_error_tells_where_to_put_a_file_by_hand(table, tmp_path):
    _, register, _ = table
    for sha256, told in (("ab" * 32, "sha256: " + "ab" * 32), (None, "30 rows, 4 features, 3 ano")):
        register(sha256=sha256, urls=("http://127.0.0.1:9/6_cardio.npz",))
        with pytest.raises(FetchError) as caught:
            fetch_adbench("cardio", data_home=tmp_path)
        message = str(caught.value)
        assert told in message
        assert "URL: http://127.0.0.1:9/6_cardio.npz" in message
        assert "file: 6_cardio.npz" in message
        assert f"folder: {tmp_path / 'adbench/Classical'}" in message
        assert "SKLEARN_FSAD_DATA" in message
    with pytest.raises(FetchError, match="download_if_missing is False"):
        fetch_adbench("cardio", data_home=tmp_path, download_if_missing=False)


def test_the_next_address_is_tried(table, tmp_path):
    _, register, _ = table
    good = ADBENCH["cardio"].urls
    register(urls=("http://127.0.0.1:9/6_cardio.npz", *good))
    assert fetch_adbench("cardio", data_home=tmp_path).data.shape == (30, 4)


def test_a_file_put_by_hand_is_checked_and_needs_no_pooch(table, tmp_path, monkeypatch):
    path, register, asked = table
    monkeypatch.setitem(sys.modules, "pooch", None)
    target = tmp_path / "adbench/Classical/6_cardio.npz"
    with pytest.raises(ImportError, match=r"sklearn-fsad\[data\](.|\n)*folder: "):
        fetch_adbench("cardio", data_home=tmp_path)
    target.parent.mkdir(parents=True)
    target.write_bytes(path.read_bytes())
    assert fetch_adbench("cardio", data_home=tmp_path).data.shape == (30, 4)
    write_table(target, seed=1)
    with pytest.raises(FetchError, match="sha256"):
        fetch_adbench("cardio", data_home=tmp_path)
    register(sha256=None, size=(31, 4, 3))
    with pytest.raises(FetchError, match="30 rows, 4 features and 3 anomalies, not 31"):
        fetch_adbench("cardio", data_home=tmp_path)
    assert not asked


def test_unknown_names_are_told_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'cardio'"):
        fetch_adbench("cardiio")
    with pytest.raises(ValueError, match="vit, resnet18"):
        fetch_mvtec_embeddings("vgg")
    with pytest.raises(ValueError, match="category 'pen'"):
        fetch_mvtec_embeddings(categories=["pen"])
    with pytest.raises(ValueError, match="valve1/15"):
        fetch_skab(recordings=["valve1/16"])


def test_embeddings_are_one_task_a_category(tmp_path, monkeypatch):
    files = {name: replace(MVTEC["vit"][name], size=(12, 6, 2)) for name in ("wood", "cable")}
    monkeypatch.setitem(MVTEC, "vit", files)
    for name, file in files.items():
        write_table(tmp_path / file.path, 12, 6, 2)
        assert file.path == f"adbench/CV_by_ViT/MVTec-AD_{name}.npz"
    assert fetch_mvtec_embeddings(data_home=tmp_path).names == ["wood", "cable"]
    one = fetch_mvtec_embeddings(categories=["cable"], data_home=tmp_path)
    assert (one.n_tasks, one.n_features) == (1, 6)


def test_recordings_are_tasks_in_groups(tmp_path):
    need("pandas")
    for name in ("valve1/0", "other/3"):
        write_recording(tmp_path / SKAB[name].path)
    write_recording(tmp_path / SKAB["anomaly-free/anomaly-free"].path, labels=False)
    names = ["valve1/0", "other/3", "anomaly-free/anomaly-free"]
    tasks = fetch_skab(recordings=names, data_home=tmp_path)
    assert tasks.names == names
    assert tasks.groups == ["valve1", "other", "anomaly-free"]
    assert tasks.feature_names_in == SENSORS
    assert [len(task.anomalies) for task in tasks] == [4, 4, 0]


def test_recordings_that_are_not_right_are_refused(tmp_path):
    need("pandas")
    path = tmp_path / SKAB["valve1/0"].path
    fetch = partial(fetch_skab, recordings=["valve1/0"], data_home=tmp_path)
    for write, reason in (
        (partial(write_recording, labels=False), "no column 'anomaly'"),
        (partial(write_recording, sensors=SENSORS[:7]), "eight sensors"),
        (lambda p: p.write_text(write_recording(p).read_text()[:-90]), "gaps|labels"),
        (lambda p: p.write_text(""), "cannot be read"),
    ):
        write(path)
        with pytest.raises(FetchError, match=reason):
            fetch()


def test_the_registry_holds_what_is_published():
    assert len(ADBENCH) == 47
    assert len(SKAB) == 35
    files = [*ADBENCH.values(), *SKAB.values(), *MVTEC["vit"].values(), *MVTEC["resnet18"].values()]
    assert len({file.path for file in files}) == len(files)
    for file in files:
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
        assert all(url.endswith(Path(file.path).name) for url in file.urls)


# --- folders ------------------------------------------------------------------------------------
def write_folder(folder, kind, label="label"):
    """Two tasks in a sub-folder and one beside it."""
    if kind != ".npz":
        need("pandas", *(["pyarrow"] if kind == ".parquet" else []))
    for name, (X, y) in zip(("b/2", "b/1", "a"), make_family(3), strict=True):
        path = folder / f"{name}{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".npz":
            np.savez(path, X=X, y=y)
            continue
        import pandas as pd

        frame = pd.DataFrame(X, columns=list("vwxyz")).assign(**{label: y, "time": "noon"})
        write = frame.to_csv if kind == ".csv" else frame.to_parquet
        write(path, index=False)
    return folder


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".npz"])
def test_a_folder_becomes_tasks(tmp_path, kind):
    tasks = tasks_from_folder(write_folder(tmp_path, kind), drop=["time"])
    assert tasks.names == [f"a{kind}", f"b/1{kind}", f"b/2{kind}"]
    assert tasks.groups == [f"a{kind}", "b", "b"]
    assert tasks.feature_names_in == (None if kind == ".npz" else tuple("vwxyz"))
    X, y = make_family(3)[1]
    np.testing.assert_allclose(tasks[1].X, X)
    np.testing.assert_array_equal(tasks[1].y, y)
    assert tasks_from_folder(tmp_path, pattern="b/*", drop=["time"]).n_tasks == 2
    unlabelled = tasks_from_folder(tmp_path, label=None, drop=["time", "label"])
    assert (unlabelled[0].y == -1).all()


def test_words_gaps_and_separators_can_be_told(tmp_path):
    need("pandas")
    (tmp_path / "day.csv").write_text("a;b;state\n1,5;2\n1;3;fine\n;4;broken\n2;5;fine\n")
    (tmp_path / "notes.txt").write_text("not a task")
    tasks = tasks_from_folder(
        tmp_path,
        label="state",
        csv_params={"sep": ";", "decimal": ","},
        outlier_label="broken",
        allow_nan=True,
    )
    np.testing.assert_array_equal(tasks[0].y, [-1, 0, 1, 0])
    assert tasks[0].X[0, 0] == 1.5
    assert np.isnan(tasks[0].X[2, 0])


def test_errors_name_the_file(tmp_path):
    need("pandas")
    good = "a,label\n1,0\n2,0\n3,1\n"
    for text, how, reason in (
        ("a,b\n1,2\n", {}, "no column 'label', only a, b"),
        ("a,label\none,0\n2,0\n", {}, "could not convert"),
        ("a,label\n,0\n2,0\n", {"allow_nan": False}, "NaN"),
        ("z,label\n1,0\n2,0\n", {}, "columns"),
        ("", {}, "No columns"),
    ):
        (tmp_path / "1.csv").write_text(good)
        (tmp_path / "2.csv").write_text(text)
        with pytest.raises(ValueError, match=rf"2\.csv.*{reason}"):
            tasks_from_folder(tmp_path, **how)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"drop": ["label"]}, r"drop=\['label'\] names 'label', the column of the labels"),
        ({"drop": "label"}, "leave it out of drop"),
        ({"drop": "a"}, r"1\.csv.*no feature is left of its columns \(a, label\)"),
        ({"drop": ["a", "label"], "label": None}, "no feature is left"),
        ({"csv_params": {"chunksize": 2}}, "csv_params has 'chunksize', which reads a file in pie"),
        ({"csv_params": {"iterator": True}}, "csv_params has 'iterator'"),
        ({"pattern": "/etc/*"}, r"pattern='/etc/\*' is an absolute path.*relative to the folder"),
    ],
)
def test_parameters_that_leave_no_tasks_are_told(tmp_path, how, reason):
    need("pandas")
    (tmp_path / "1.csv").write_text("a,label\n1,0\n2,0\n3,1\n")
    with pytest.raises(ValueError, match=reason):
        tasks_from_folder(tmp_path, **how)


@pytest.mark.parametrize("outlier_label", ["NA", {"NA", "worn"}, np.array(["NA"])])
def test_an_anomaly_may_be_called_what_pandas_takes_for_missing(tmp_path, outlier_label):
    need("pandas")
    (tmp_path / "1.csv").write_text("a,label\n1,fine\n2,NA\n3,\n4,nan\n5,fine\n")
    tasks = tasks_from_folder(tmp_path, outlier_label=outlier_label)
    np.testing.assert_array_equal(tasks[0].y, [0, 1, -1, -1, 0])


def test_npz_files_without_their_arrays_are_named(tmp_path):
    np.savez(tmp_path / "1.npz", X=np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"1\.npz.*no array 'label' or 'y', only X"):
        tasks_from_folder(tmp_path)
    assert tasks_from_folder(tmp_path, label=None).n_tasks == 1
    np.savez(tmp_path / "1.npz", rows=np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"1\.npz.*no array 'X', only rows"):
        tasks_from_folder(tmp_path)
    (tmp_path / "1.npz").write_text("no zip")
    with pytest.raises(ValueError, match=r"1\.npz"):
        tasks_from_folder(tmp_path)


def test_folders_without_tasks_are_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no folder"):
        tasks_from_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match="no csv, parquet or npz file"):
        tasks_from_folder(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt.*\.csv, \.parquet, \.npz"):
        tasks_from_folder(tmp_path, pattern="*.txt")
    (tmp_path / "1.csv").write_text("a,label\n1,0\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"1\.csv.*sklearn-fsad\[data\]"):
        tasks_from_folder(tmp_path)


# --- what lies in folders by accident -------------------------------------------------------------
def machine(i, n=20):
    pd = pytest.importorskip("pandas", reason="needs pandas, of the extra 'data'")
    X = np.random.default_rng(i).normal(size=(n, 3))
    return pd.DataFrame(X, columns=list("abc")).assign(label=np.arange(n) > 15)


def write_machines(folder, **how):
    for i in range(2):
        machine(i).to_csv(folder / f"m{i}.csv", **how)


HIDDEN = (
    ".ipynb_checkpoints/m0.csv",
    "__MACOSX/m0.csv",
    "a/.git/b/m0.csv",
    "._m0.csv",
    "~$m0.csv",
)


@pytest.mark.parametrize("pattern", [None, "**/*.csv"])
def test_hidden_files_are_no_tasks(tmp_path, pattern):
    folder = tmp_path / ".hidden itself"
    folder.mkdir()
    write_machines(folder, index=False)
    for name in HIDDEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((folder / "m0.csv").read_bytes())
    assert tasks_from_folder(folder, pattern=pattern).names == ["m0.csv", "m1.csv"]
    with pytest.raises(FileNotFoundError, match=r"hidden ones left out: __MACOSX/m0\.csv"):
        tasks_from_folder(folder, pattern="__MACOSX/*.csv")


def twice(folder):
    write_machines(folder)
    for file in folder.glob("*.csv"):
        pytest.importorskip("pandas").read_csv(file).to_csv(file)


def foreign_parquet(folder):
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra 'data'")
    table = pa.Table.from_pandas(machine(0).sample(frac=1.0, random_state=0))
    pytest.importorskip("pyarrow.parquet").write_table(
        table.replace_schema_metadata(None), folder / "m0.parquet"
    )


NUMBERED = {
    "to_csv": (write_machines, ["Unnamed: 0"]),
    "twice": (twice, ["Unnamed: 0.1", "Unnamed: 0"]),
    "shuffled": (
        lambda folder: machine(0).sample(frac=1.0, random_state=0).to_csv(folder / "m0.csv"),
        ["Unnamed: 0"],
    ),
    "below each other": (
        lambda folder: (
            pytest.importorskip("pandas").concat([machine(0), machine(1)]).to_csv(folder / "m0.csv")
        ),
        ["Unnamed: 0"],
    ),
    "reset_index": (
        lambda folder: machine(0).reset_index().to_csv(folder / "m0.csv", index=False),
        ["index"],
    ),
    "parquet of others": (foreign_parquet, ["__index_level_0__"]),
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_row_numbers_among_the_columns_are_told(tmp_path, kind):
    write, columns = NUMBERED[kind]
    write(tmp_path)
    with pytest.warns(TaskWarning, match=r"counts the rows in m0.*drop=") as told:
        tasks = tasks_from_folder(tmp_path)
    assert f"drop={columns}" in str(told[0].message)
    assert tasks.n_features == 3 + len(columns)
    dropped = columns[0] if len(columns) == 1 else columns
    assert tasks_from_folder(tmp_path, drop=dropped).feature_names_in == ("a", "b", "c")


def test_row_numbers_are_told_without_a_header_too(tmp_path):
    write_machines(tmp_path, header=False)
    with pytest.warns(TaskWarning, match=r"drop=\[0\]"):
        tasks_from_folder(tmp_path, label=4, csv_params={"header": None})


def test_a_measurement_named_index_is_none_of_them(tmp_path):
    machine(0).rename(columns={"a": "index"}).to_csv(tmp_path / "m0.csv", index=False)
    assert tasks_from_folder(tmp_path).n_features == 3


def test_copies_are_told_by_name(tmp_path):
    write_machines(tmp_path, index=False)
    (tmp_path / "Copy of m0.csv").write_bytes((tmp_path / "m0.csv").read_bytes())
    with pytest.warns(TaskWarning, match=r"the same rows: Copy of m0\.csv, m0\.csv\. Remove"):
        assert tasks_from_folder(tmp_path).n_tasks == 3


def test_files_without_rows_are_refused_by_all_their_names(tmp_path):
    write_machines(tmp_path, index=False)
    (tmp_path / "e.csv").write_text("")
    (tmp_path / "h.csv").write_text("a,b,c,label\n")
    np.savez(tmp_path / "z.npz", X=np.zeros((0, 3)), y=np.zeros(0))
    with pytest.raises(ValueError, match=r"'e\.csv'.*'h\.csv'.*'z\.npz'.*without rows"):
        tasks_from_folder(tmp_path)
    (tmp_path / "z.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"z\.npz"):
        tasks_from_folder(tmp_path, pattern="*.npz")


def test_a_label_of_anomalies_that_is_in_no_file_is_refused(tmp_path):
    pd = pytest.importorskip("pandas")
    for name in ("a", "b"):
        frame = pd.DataFrame({"x": np.arange(20.0), "z": np.arange(20.0) ** 2})
        frame.assign(status=["ok"] * 18 + ["fault"] * 2).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    with pytest.raises(ValueError, match=r"'FAULT' is in none of the 2 files.*'ok', 'fault'"):
        tasks_from_folder(tmp_path, label="status", outlier_label="FAULT")


def test_gaps_in_a_file_are_read_or_refused_by_their_place(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"x": [1.0, np.nan, 2.0, 3.0], "y": [0, 0, 0, 1]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert np.isnan(tasks_from_folder(tmp_path, label="y")[0].X[1, 0])
    with pytest.raises(ValueError, match=r"(?s)'a.csv'.*contains NaN.*column 'x', row 1"):
        tasks_from_folder(tmp_path, label="y", allow_nan=False)

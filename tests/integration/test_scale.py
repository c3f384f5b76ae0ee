"""The recipes of docs/scale.md: engines that deal rows and searches out change no score."""

import re
import shutil
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from families import TESTS, make_family, new_task
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_fsad import MAMLDetector, ProtoNetDetector, TaskEstimator

PAGE = (TESTS.parent / "docs" / "scale.md").read_text(encoding="utf-8")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("scale"),  # its fixtures take long
]
COLUMNS = ["sensor_0", "sensor_1", "sensor_2"]


def recipe(heading, number=0):
    """The code of a section, but for what the tests of the documentation run."""
    section = re.split(rf"^##+ {heading}$", PAGE, flags=re.MULTILINE)[1]
    section = re.split(r"^##+ ", section, flags=re.MULTILINE)[0]
    return re.findall(r"^```py\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number]


@pytest.fixture(scope="module")
def told():
    """What the page has said before its recipes."""
    X, y, query, _ = new_task(n_features=3)
    tasks = list(make_family(4, n_features=3))
    shots = {"n_normal": (4, 9), "n_anomalous": (0, 3), "n_query": 20}
    quick = {**shots, "episodes_per_epoch": 6, "max_epochs": 2, "random_state": 0}
    detector = ProtoNetDetector(evidence=["mahalanobis_raw", "nearest_scaled"], **quick)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.meta_fit(tasks)
    names = {
        "np": np,
        "pd": pd,
        "columns": COLUMNS,
        "table": pd.DataFrame(query, columns=COLUMNS),
        "tasks": tasks,
        "detector": detector.fit(pd.DataFrame(X, columns=COLUMNS), y),
    }
    function = re.search(r"^def with_scores.*?(?=^```$)", PAGE, re.MULTILINE | re.DOTALL)[0]
    exec(compile(function, "scale.md", "exec"), names)
    return names


def run(told, *codes):
    names = dict(told)
    for code in codes:
        exec(compile(code, "scale.md", "exec"), names)
    return names


def expected(told):
    return told["detector"].decision_function(told["table"])


def check_search(told, search):
    """Whether a search came out as the same search in this process."""
    alone = GridSearchCV(TaskEstimator(told["detector"]), search.param_grid, cv=KFold(2))
    alone.fit(told["tasks"])
    found = search.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found, alone.cv_results_["mean_test_score"])
    assert len(found) == 2
    assert np.isfinite(found).all()


def test_a_part_without_rows_has_no_scores(told):
    part = told["with_scores"](told["table"].iloc[:0])
    assert part.columns.tolist() == [*COLUMNS, "score"]
    assert part["score"].dtype == float
    assert len(part) == 0


def test_dask_arrays(told):
    pytest.importorskip("dask.array", reason="dask is not installed")
    rows = told["table"].to_numpy(dtype="float32")
    detector = clone(told["detector"]).fit(rows[:10])
    names = run({**told, "detector": detector, "rows": rows, "size": 25}, recipe("Dask arrays"))
    assert names["chunks"].numblocks[0] > 1
    np.testing.assert_array_equal(names["scores"], detector.score_samples(rows))


def test_dask_tables(told):
    pytest.importorskip("dask.dataframe", reason="dask is not installed")
    names = run(told, recipe("Dask tables"))
    assert names["parts"].npartitions > 1
    np.testing.assert_array_equal(names["scored"]["score"], expected(told))


def test_dask_tables_with_empty_parts(told):
    dd = pytest.importorskip("dask.dataframe", reason="dask is not installed")
    parts = dd.from_pandas(told["table"].reset_index(), npartitions=4)
    few = parts[parts["index"] < 20].map_partitions(told["with_scores"])
    assert 0 in few.map_partitions(len).compute().tolist()
    np.testing.assert_array_equal(few.compute()["score"], expected(told)[:20])


@pytest.mark.filterwarnings("ignore")
def test_a_search_on_dask(told):
    pytest.importorskip("distributed", reason="distributed is not installed")
    names = run(told, recipe("Searches"))
    try:
        assert len(names["client"].scheduler_info()["workers"]) == 2
        check_search(told, names["search"])
    finally:
        names["client"].shutdown()


@pytest.mark.filterwarnings("ignore")
def test_scores_and_a_search_on_ray(told):
    """Both in one test: Ray takes long to start."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("ray.data", reason="ray[data] is not installed")
    ray.init(
        num_cpus=1,  # one process to start and to import torch in
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        scored = run(told, recipe("Ray"))["scored"].set_index(COLUMNS)["score"]
        rows = pd.MultiIndex.from_frame(told["table"])
        np.testing.assert_array_equal(scored.loc[rows], expected(told))
        before = recipe("Searches").split("client =")[0]
        check_search(told, run(told, before, recipe("Searches", 1))["search"])
    finally:
        ray.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_spark(told, monkeypatch):
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)  # for the workers
    names = run(told, recipe("Spark"))
    names["spark"].stop()
    np.testing.assert_array_equal(names["scored"]["score"], expected(told))


@pytest.mark.filterwarnings("ignore")
def test_a_script_that_shares_its_meta_training_runs_alone_too(told, tmp_path, monkeypatch):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MAMLDetector.__init__.__kwdefaults__, "episodes_per_epoch", 8)
    monkeypatch.setitem(MAMLDetector.__init__.__kwdefaults__, "gate", False)
    run(told, recipe("Meta-training"))
    assert MAMLDetector(pretrained="pumps.safetensors").fit(told["tasks"][0][0]).offset_ < 0

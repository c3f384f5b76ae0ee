"""Detectors in other processes, and memory: where and how much is scored changes no score."""

import multiprocessing
import subprocess
import sys
import weakref
from pathlib import Path

import joblib
import numpy as np
import pytest
from families import MAKERS, TESTS, make_detector, new_task, scores_after_fit, scores_of
from sklearn.base import clone

from sklearn_fsad._detectors.base.blocks import in_blocks

N_QUERY = 20

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("elsewhere"),  # its fixtures take long
]


@pytest.fixture(scope="module")
def detectors():
    return {name: make_detector(name) for name in MAKERS}


def test_26_processes_of_joblib_fit_as_this_one_does(detectors):
    X, y, query, _ = new_task(n_query=N_QUERY)
    expected = [scores_after_fit(d, X, y, query) for d in detectors.values()]
    work = (joblib.delayed(scores_after_fit)(d, X, y, query) for d in detectors.values())
    found = joblib.Parallel(n_jobs=2, backend="loky")(work)
    for name, scores, here in zip(detectors, found, expected, strict=True):
        np.testing.assert_array_equal(scores, here, err_msg=name)


def test_26_a_spawned_process_scores_as_this_one_does(detectors):
    X, y, query, _ = new_task(n_query=N_QUERY)
    fitted = {name: clone(detector).fit(X, y) for name, detector in detectors.items()}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(scores_of, (fitted, query))
    for name, scores in scores_of(fitted, query).items():
        np.testing.assert_array_equal(found[name], scores, err_msg=name)


# --- memory ---------------------------------------------------------------------------------------
MEASURED = '''
import sys
import weakref
import threading
import time
sys.path.insert(0, {tests!r})
import numpy as np
from families import new_task
from sklearn_fsad import ProtoNetDetector

def private():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))  # KiB

class Most:
    """The most private memory while something runs."""
    def __enter__(self):
        self.most, self.over = private(), False
        self.before = self.most
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self
    def watch(self):
        while not self.over:
            self.most = max(self.most, private())
            time.sleep(0.002)
    def __exit__(self, *error):
        self.over = True
        self.thread.join()

X, y = new_task()[:2]
detector = ProtoNetDetector(embedding="mlp").fit(X, y)
for path in {paths!r}:
    rows = np.load(path, mmap_mode="r")
    detector.score_samples(rows[:300])
    with Most() as memory:
        scores = detector.score_samples(rows)
    assert np.isfinite(scores).all()
    print(memory.most - memory.before)
'''


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_28_memory_of_scoring_a_memmap_does_not_grow_with_its_rows(tmp_path):
    n, paths = 200_000, []
    for dtype in ("float64", "float32"):  # half of it is never widened all at once
        paths.append(str(tmp_path / f"{dtype}.npy"))
        rows = np.lib.format.open_memmap(paths[-1], mode="w+", dtype=dtype, shape=(n, 5))
        rows[:] = np.random.default_rng(0).normal(scale=10.0, size=(n, 5))
        rows.flush()
    program = MEASURED.format(tests=str(TESTS), paths=paths)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    most = 1024 * np.array(found.stdout.split(), dtype=int)
    assert len(most) == 2
    # the scores as blocks, as one array and their negative; the rows would be 40 bytes each
    assert (most < 3 * 8 * n + 2 * 2**20).all(), most


def test_28_scores_of_a_block_keep_nothing_of_what_they_were_computed_in():
    whole = []

    def function(block):
        assert sum(part() is not None for part in whole) <= 1
        values = np.zeros((len(block), 100))
        whole.append(weakref.ref(values))
        return values[:, 0]

    assert in_blocks(function, np.zeros((2000, 3)), size=256).shape == (2000,)
    assert len(whole) > 3

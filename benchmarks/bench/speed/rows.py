"""Score millions of rows of a file that is mapped into memory, and measure time and memory.

Either in one call of each detector, or in parts by several processes: then every run adds its rows
to the results, and what a fit of one asset takes stands beside them.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from bench.report.records import Result
from bench.speed.timing import median_seconds
from pyod.models.knn import KNN
from tqdm import tqdm

from sklearn_fsad import InContextDetector, MAMLDetector, ProtoNetDetector
from sklearn_fsad.datasets import make_related_tasks

MOST = 2**30  # what the promise allows
N_FEATURES = 8
MAPPED = {
    'ProtoNetDetector(embedding="mlp")': ProtoNetDetector(embedding="mlp"),
    "ProtoNetDetector()": ProtoNetDetector(),
    "InContextDetector()": InContextDetector(random_state=0),
    "MAMLDetector(residual=False)": MAMLDetector(residual=False, random_state=0),
}
ABOUT_MAPPED = (
    f"Rows of {N_FEATURES} features; private memory of the process, Python and torch counted and "
    "the file not; one thread of an x86_64 CPU."
)
PART = 250_000  # rows that a process scores at a time
N_TASKS, N_NORMAL, N_ANOMALOUS = 20, 80, 20
NAME = "scale_scoring"


def options_mapped(parser: argparse.ArgumentParser) -> None:
    """Add the options of rows scored in one call."""
    parser.add_argument("--n", type=int, nargs="+", default=[10**4, 10**7])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")


def run_mapped(args: argparse.Namespace) -> Iterator[Result]:
    """Score up to ten million rows of a mapped file in one call, and measure time and memory."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        make_rows(path, max(args.n), args.dtype)
        rows = np.load(path, mmap_mode="r")
        for n in sorted(args.n):  # what a process has once allocated it may keep
            for name, detector in MAPPED.items():
                seconds, most = measured(detector, rows[:n])
                row = {"detector": name, "rows": f"{n:,}", "s": seconds, "MiB": most / 2**20}
                found.append({**row, "under 1 GiB": "yes" if most < MOST else "NO"})
    table = pd.DataFrame(found).to_markdown(index=False, floatfmt=".1f")
    text = f"{ABOUT_MAPPED}\n\n{table}"
    yield Result("big_scoring", f"{max(args.n):,} rows of a mapped file", text)


def options_parts(parser: argparse.ArgumentParser) -> None:
    """Add the options of rows scored in parts."""
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--processes", type=int, default=os.cpu_count())


def run_parts(args: argparse.Namespace) -> Iterator[Result]:
    """Score up to a hundred million rows in parts on all cores, and fit one asset."""
    sizes = {"n_features": N_FEATURES, "n_normal": N_NORMAL, "n_anomalous": N_ANOMALOUS}
    tasks = make_related_tasks(N_TASKS, **sizes, random_state=0)
    start = time.process_time()
    detector = ProtoNetDetector(random_state=0).meta_fit(tasks)
    fits = {"meta_fit_seconds": time.process_time() - start, **measure_fits(detector)}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        make_rows(rows, max(args.rows), "float32")
        fits |= beside_knn(detector, rows)
        with joblib.Parallel(args.processes, return_as="generator_unordered") as pool:
            score_all(detector, rows, 1000, pool)  # the processes start and import what they need
            found = [score_all(detector, rows, n, pool) for n in sorted(args.rows)]
    args.results.mkdir(parents=True, exist_ok=True)
    frame = kept(args.results / f"{NAME}.csv", pd.DataFrame(found), ["rows", "processes"])
    path = args.results / f"{NAME}_fits.csv"
    fits_frame = kept(path, pd.DataFrame([{"detector": "ProtoNetDetector", **fits}]), ["detector"])
    text = report(frame, fits_frame)
    yield Result(NAME, "Rows scored in parts", text, command=commands(frame))


class PrivateMemory:
    """Watches the most private memory of this process within a block, in bytes; Linux only.

    What is mapped from a file is not counted: the system drops it when it needs the room.
    """

    def __enter__(self) -> PrivateMemory:
        self.most, self._over = _private(), False
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over:
            self.most = max(self.most, _private())
            time.sleep(0.01)  # between two readings, so that watching takes no core


def _private() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def make_rows(path: Path, n: int, dtype: str, seed: int = 0) -> None:
    """Write a file of normal rows, a few at a time."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, N_FEATURES))
    rng = np.random.default_rng(seed)
    for start in tqdm(range(0, n, 100_000), desc="writing", unit="block"):
        rows[start : start + 100_000] = rng.normal(size=(min(100_000, n - start), N_FEATURES))
    rows.flush()


def measured(detector: Any, rows: np.ndarray) -> tuple[float, int]:
    """Return seconds and bytes that scoring takes."""
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(20, N_FEATURES)), rng.normal(3, 1, (3, N_FEATURES))])
    detector.fit(X, np.arange(23) >= 20).score_samples(X)
    start = time.perf_counter()
    with PrivateMemory() as memory:
        scores = detector.score_samples(rows)
    if scores.shape != (len(rows),) or not np.isfinite(scores).all():
        raise AssertionError("Scores are missing or not finite.")
    return time.perf_counter() - start, memory.most


def score_part(detector: Any, rows: Path, scores: Path, start: int, stop: int) -> dict[str, float]:
    """Score some rows of a mapped file into another; return what it took in this process."""
    part = np.load(rows, mmap_mode="r")[start:stop]
    out = np.load(scores, mmap_mode="r+")
    before = time.process_time()
    with PrivateMemory() as memory:
        out[start:stop] = detector.score_samples(part)
    out.flush()
    if not np.isfinite(out[start:stop]).all():
        raise AssertionError("Scores are not finite.")
    seconds = time.process_time() - before
    return {"rows": stop - start, "core_seconds": seconds, "memory": memory.most}


def score_all(detector: Any, rows: Path, n: int, pool: joblib.Parallel) -> dict[str, float]:
    """Score the first ``n`` rows of a file in parts, with a progress bar."""
    size = min(PART, -(-n // pool.n_jobs))
    scores = rows.with_name("scores.npy")
    np.lib.format.open_memmap(scores, mode="w+", dtype=np.float64, shape=(n,)).flush()
    work = [
        joblib.delayed(score_part)(detector, rows, scores, start, min(start + size, n))
        for start in range(0, n, size)
    ]
    started, seen = time.perf_counter(), []
    with PrivateMemory() as here, tqdm(total=n, desc="scoring", unit="row", unit_scale=True) as bar:
        for part in pool(work):
            seen.append(part)
            bar.update(part["rows"])
    parts = pd.DataFrame(seen)
    return {
        "rows": n,
        "processes": pool.n_jobs,
        "seconds": time.perf_counter() - started,
        "core_seconds": parts.core_seconds.sum(),
        "worker_MiB": parts.memory.max() / 2**20,
        "parent_MiB": here.most / 2**20,
    }


def measure_fits(detector: Any, n_assets: int = 200) -> dict[str, float]:
    """Fit once for each of many assets: milliseconds, and bytes that an asset keeps."""
    assets = make_related_tasks(
        n_assets, n_features=N_FEATURES, n_normal=20, n_anomalous=3, random_state=1
    )
    took = []
    for asset in assets:
        start = time.process_time()
        detector.fit(asset.X, asset.y)
        took.append(1000 * (time.process_time() - start))
    detector.pretrained, shared = None, detector.pretrained
    alone = len(pickle.dumps(detector))
    with tempfile.TemporaryDirectory() as folder:
        shared.save(Path(folder) / "state.safetensors")
        learned = (Path(folder) / "state.safetensors").stat().st_size
    detector.pretrained = shared
    support = assets[0].X.nbytes + assets[0].y.nbytes
    return {
        "fit_ms": float(np.median(took)),
        "fit_ms_90": float(np.percentile(took, 90)),
        "state_bytes": learned,
        "support_bytes": support,
        "fitted_bytes": alone,
    }


def beside_knn(detector: Any, path: Path, rounds: int = 5) -> dict[str, float]:
    """Score a part of the rows by a fitted detector and by PyOD's KNN, which take turns.

    Parameters
    ----------
    detector : ProtoNetDetector
        Its normals are what KNN is fitted to.
    path : Path
        File of the rows.
    rounds : int, default=5

    Returns
    -------
    found : dict of str to float
        Rows a core second of each, and how many times as long the detector takes.
    """
    part = np.load(path, mmap_mode="r")[:PART]
    knn = KNN().fit(detector.support_X_[detector.support_y_ == 0])
    scorings = {"ours": detector.score_samples, "knn": knn.decision_function}
    seconds = median_seconds({name: partial(s, part) for name, s in scorings.items()}, rounds)
    rates = {f"{name}_rows_a_core_second": len(part) / s for name, s in seconds.items()}
    return {**rates, "times_knn": seconds["ours"] / seconds["knn"]}


def commands(frame: pd.DataFrame) -> str:
    """Return the commands that rows of the results came from."""
    called = "    OMP_NUM_THREADS=1 python benchmarks/run.py scale parts"
    more = frame.rows[frame.rows > 10**7]
    return f"{called}\n{called} --rows {' '.join(map(str, more))}" if len(more) else called


def report(frame: pd.DataFrame, fits: pd.DataFrame) -> str:
    """Return the results of scoring in parts as Markdown."""
    shown = frame.assign(
        rows_a_core_second=frame.rows / frame.core_seconds, rows=frame.rows.map("{:,}".format)
    )
    header = ["rows", "processes", "s", "core s", "MiB a process", "MiB parent", "rows a core s"]
    shown.columns = header
    text = shown.to_markdown(index=False, floatfmt=("", "", ".1f", ".1f", ".0f", ".0f", ".0f"))
    slope = np.nan
    if len(frame) > 1:
        slope = np.polyfit(np.log(frame.rows), np.log(frame.core_seconds), 1)[0]
    f = fits.iloc[-1]
    return (
        f"Rows of {N_FEATURES} float32 features in a mapped file, read and scored {PART:,} at a "
        "time by processes of joblib,\nthe scores written to another mapped file. One thread a "
        "process, on an x86_64 machine of two cores\nthat others used too: core seconds are what "
        "to go by. Memory is private memory, the files not counted.\nThe detector is a "
        f"`ProtoNetDetector`, meta-fitted on {N_TASKS} tasks and fitted to 20 normal and 3 "
        "anomalous rows.\n\n"
        f"{text}\n\n"
        f"Core seconds grow with rows to the power {slope:.2f}.\n\n"
        f"- In one process, turn by turn: {f.ours_rows_a_core_second:,.0f} rows a core s, PyOD's "
        f"KNN on the normals alone {f.knn_rows_a_core_second:,.0f}: {f.times_knn:.1f} times as "
        "long.\n"
        f"- `meta_fit` on {N_TASKS} tasks of {N_NORMAL + N_ANOMALOUS} rows: "
        f"{f.meta_fit_seconds:.1f} core s, once for all assets.\n"
        f"- `fit` of one asset: {f.fit_ms:.1f} core ms (median of 200; a tenth took over "
        f"{f.fit_ms_90:.1f} ms).\n"
        f"- What is meta-learned: {f.state_bytes / 1024:.1f} KiB, once for all assets.\n"
        f"- The support of one asset: {f.support_bytes / 1024:.1f} KiB; its fitted detector as a "
        f"pickle: {f.fitted_bytes / 1024:.1f} KiB.\n"
    )


def kept(path: Path, new: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return rows of a file of results, those measured anew replaced."""
    frame = pd.concat([pd.read_csv(path), new]) if path.is_file() else new
    frame = frame.drop_duplicates(by, keep="last").sort_values(by).reset_index(drop=True)
    frame.round(4).to_csv(path, index=False)
    return frame

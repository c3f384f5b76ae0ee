"""Score up to a hundred million rows of a mapped file in parts on all cores; fit one asset.

    OMP_NUM_THREADS=1 python benchmarks/scale_scoring.py                   # 10^5, 10^6, 10^7 rows
    OMP_NUM_THREADS=1 python benchmarks/scale_scoring.py --rows 100000000  # 4 GB of disk meanwhile

Each run adds its rows to the results.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from big_scoring import N_FEATURES, PrivateMemory, make_rows
from tqdm import tqdm

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.datasets import make_related_tasks

PART = 250_000  # rows that a process scores at a time
N_TASKS, N_NORMAL, N_ANOMALOUS = 20, 80, 20
NAME = "scale_scoring"


def score_part(detector: Any, rows: Path, scores: Path, start: int, stop: int) -> dict[str, float]:
    """Score some rows of a mapped file into another; what it took in this process."""
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
    """One fit for each of many assets: milliseconds, and bytes that an asset keeps."""
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


def command(frame: pd.DataFrame) -> str:
    """Return the command of rows beyond the default."""
    more = frame.rows[frame.rows > 10**7]
    called = "    OMP_NUM_THREADS=1 python benchmarks/scale_scoring.py --rows"
    return f"{called} {' '.join(map(str, more))}\n" if len(more) else ""


def report(frame: pd.DataFrame, fits: pd.DataFrame) -> str:
    """Return the results as Markdown."""
    shown = frame.assign(
        rows_a_core_second=frame.rows / frame.core_seconds,
        rows=frame.rows.map("{:,}".format),
    )
    header = ["rows", "processes", "s", "core s", "MiB a process", "MiB parent", "rows a core s"]
    shown.columns = header
    text = shown.to_markdown(index=False, floatfmt=("", "", ".1f", ".1f", ".0f", ".0f", ".0f"))
    slope = np.nan
    if len(frame) > 1:
        slope = np.polyfit(np.log(frame.rows), np.log(frame.core_seconds), 1)[0]
    f = fits.iloc[-1]
    return (
        "# Rows scored in parts\n\n"
        "    OMP_NUM_THREADS=1 python benchmarks/scale_scoring.py\n"
        f"{command(frame)}\n"
        f"Rows of {N_FEATURES} float32 features in a mapped file, read and scored {PART:,} at a "
        "time by processes of joblib,\nthe scores written to another mapped file. One thread a "
        "process, on an x86_64 machine of two cores\nthat others used too: core seconds are what "
        "to go by. Memory is private memory, the files not counted.\nThe detector is a "
        f"`ProtoNetDetector`, meta-fitted on {N_TASKS} tasks and fitted to 20 normal and 3 "
        "anomalous rows.\n\n"
        f"{text}\n\n"
        f"Core seconds grow with rows to the power {slope:.2f}.\n\n"
        f"- `meta_fit` on {N_TASKS} tasks of {N_NORMAL + N_ANOMALOUS} rows: "
        f"{f.meta_fit_seconds:.1f} core s, once for all assets.\n"
        f"- `fit` of one asset: {f.fit_ms:.1f} core ms (median of 200; a tenth took over "
        f"{f.fit_ms_90:.1f} ms).\n"
        f"- What is meta-learned: {f.state_bytes / 1024:.1f} KiB, once for all assets.\n"
        f"- The support of one asset: {f.support_bytes / 1024:.1f} KiB; its fitted detector as a "
        f"pickle: {f.fitted_bytes / 1024:.1f} KiB.\n"
    )


def kept(path: Path, new: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows of a file of results, those measured anew replaced."""
    frame = pd.concat([pd.read_csv(path), new]) if path.is_file() else new
    frame = frame.drop_duplicates(by, keep="last").sort_values(by).reset_index(drop=True)
    frame.round(4).to_csv(path, index=False)
    return frame


def main() -> None:
    """Measure, and keep what was measured before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    tasks = make_related_tasks(
        N_TASKS,
        n_features=N_FEATURES,
        n_normal=N_NORMAL,
        n_anomalous=N_ANOMALOUS,
        random_state=0,
    )
    start = time.process_time()
    detector = ProtoNetDetector(random_state=0).meta_fit(tasks)
    fits = {"meta_fit_seconds": time.process_time() - start, **measure_fits(detector)}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        make_rows(rows, max(options.rows), "float32")
        with joblib.Parallel(options.processes, return_as="generator_unordered") as pool:
            score_all(detector, rows, 1000, pool)  # the processes start and import what they need
            measured = [score_all(detector, rows, n, pool) for n in sorted(options.rows)]
    options.results.mkdir(parents=True, exist_ok=True)
    frame = kept(options.results / f"{NAME}.csv", pd.DataFrame(measured), ["rows", "processes"])
    path = options.results / f"{NAME}_fits.csv"
    fits_frame = kept(path, pd.DataFrame([{"detector": "ProtoNetDetector", **fits}]), ["detector"])
    text = report(frame, fits_frame)
    print(text)
    (options.results / f"{NAME}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Score ten million rows of a file that is mapped into memory, and measure time and memory.

python benchmarks/big_scoring.py
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sklearn_fsad import MAMLDetector, ProtoNetDetector

MOST = 2**30  # what the promise allows
N_FEATURES = 8
DETECTORS = {
    'ProtoNetDetector(embedding="mlp")': ProtoNetDetector(embedding="mlp"),
    "ProtoNetDetector()": ProtoNetDetector(),
    "MAMLDetector(residual=False)": MAMLDetector(residual=False, random_state=0),
}


class PrivateMemory:
    """The most private memory of this process within a block, in bytes; Linux only.

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
            time.sleep(0.01)


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
    """Seconds and bytes that scoring takes."""
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(20, N_FEATURES)), rng.normal(3, 1, (3, N_FEATURES))])
    detector.fit(X, np.arange(23) >= 20).score_samples(X)
    start = time.perf_counter()
    with PrivateMemory() as memory:
        scores = detector.score_samples(rows)
    if scores.shape != (len(rows),) or not np.isfinite(scores).all():
        raise AssertionError("Scores are missing or not finite.")
    return time.perf_counter() - start, memory.most


def main() -> None:
    """Measure each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        make_rows(path, args.n, args.dtype)
        rows = np.load(path, mmap_mode="r")
        for name, detector in DETECTORS.items():
            seconds, most = measured(detector, rows)
            verdict = "under" if most < MOST else "OVER"
            print(
                f"{name}: {args.n:,} rows in {seconds:.0f} s, {most / 2**20:.0f} MiB, {verdict} 1 "
                "GiB with Python and torch"
            )


if __name__ == "__main__":
    main()

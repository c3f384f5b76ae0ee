"""A process that loads a detector and scores rows; imports nothing that is measured."""

from __future__ import annotations

import json
import pickle
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DETECTORS: dict[str, dict[str, Any]] = {
    "ProtoNetDetector": {},
    "MAMLDetector": {},
    "InContextDetector": {},
    "NeuralProcessDetector": {"max_epochs": 0},
}
N_NORMAL, N_ANOMALOUS, N_FEATURES = 50, 5, 8
CALLS = ("predict", "p_values", "predict_proba", "feature_scores")


def save(name: str, path: str) -> None:
    """Pickle a fitted detector, and fill the cache of compiled loops."""
    import numpy as np

    import sklearn_fsad

    y = np.repeat([0, 1], [N_NORMAL, N_ANOMALOUS])
    X = np.random.default_rng(0).normal(size=(len(y), N_FEATURES)) + 2.0 * y[:, None]
    detector = getattr(sklearn_fsad, name)(**DETECTORS[name]).fit(X, y)
    for call in CALLS:
        getattr(detector, call)(X[:1])
    Path(path).write_bytes(pickle.dumps(detector))


def serve(path: str, rounds: str) -> None:
    """Print, as JSON, what this process and one row cost."""
    start = time.process_time()
    import numpy as np

    detector = pickle.loads(Path(path).read_bytes())
    rows = np.random.default_rng(1).normal(size=(int(rounds), 1, N_FEATURES))
    detector.predict(rows[0])
    seconds = time.process_time() - start
    row = {call: milliseconds(getattr(detector, call), rows) for call in CALLS}
    process = {
        "start, s": seconds,
        "memory, MiB": memory("VmHWM"),
        "not shared, MiB": memory("RssAnon"),
        "file, KiB": Path(path).stat().st_size / 1024,
    }
    print(json.dumps({"process": process, "row": {**row, "all": sum(row.values())}}))


def memory(entry: str) -> float:
    """Return an entry of /proc/self/status in MiB: the memory of this process; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) / 1024


def milliseconds(function: Callable[[Any], Any], rows: Any) -> float:
    """Return the median processor time of a call, after one that does not count."""
    function(rows[0])
    seconds = []
    for row in rows:
        start = time.process_time()
        function(row)
        seconds.append(time.process_time() - start)
    return 1000 * statistics.median(seconds)

"""Run parts of a benchmark in new processes; imports nothing that these measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
FIRST, SECOND, IMPORTS = "first training", "second training", "imports"
FITS: dict[str, tuple[str, int, int, dict[str, Any]]] = {  # class, rows, features, parameters
    "InContextDetector, 1000 x 20": ("InContextDetector", 1000, 20, {}),
    "ProtoNetDetector, 1000 x 20": ("ProtoNetDetector", 1000, 20, {}),
    "MAMLDetector, 1000 x 20": ("MAMLDetector", 1000, 20, {}),
    "NeuralProcessDetector, 200 x 4": ("NeuralProcessDetector", 200, 4, {"max_epochs": 1}),
}
N_ANOMALOUS = 5


def run_fresh(code: str, *words: str, **environment: str | None) -> str:
    """Run code in a new process that finds the same modules; return what it printed.

    Parameters
    ----------
    code : str
    *words : str
        Its arguments.
    **environment : str or None
        Variables to set, or to unset.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for name, value in environment.items():
        env.pop(name, None)
        env |= {} if value is None else {name: value}
    command = [sys.executable, "-W", "ignore", "-c", code, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def called_fresh(function: str, **environment: str | None) -> dict[str, float]:
    """Call a function of this module in a new process; return what it returns there."""
    code = f"from bench.speed import fresh; import json; print(json.dumps(fresh.{function}()))"
    found: dict[str, float] = json.loads(run_fresh(code, **environment).splitlines()[-1])
    return found


def one_thread() -> dict[str, str | None]:
    """Return the environment in which libraries use one thread."""
    return dict.fromkeys(THREADS, "1")


def default_threads() -> dict[str, str | None]:
    """Return the environment in which libraries use as many threads as they like."""
    return dict.fromkeys(THREADS)


@contextmanager
def busy_cores() -> Iterator[int]:
    """Keep all cores busy within the block; yield their number."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield n
    finally:
        for process in spinning:
            process.kill()
            process.wait()


# --- called in the new process --------------------------------------------------------------------
def first_training() -> dict[str, float]:
    """Measure processor time of imports, of a first short training and of the same again."""
    seconds, start = {}, time.process_time()
    import numpy as np

    from sklearn_fsad import NeuralProcessDetector

    seconds[IMPORTS] = time.process_time() - start
    X = np.random.default_rng(0).normal(size=(20, 3))
    little = {"max_epochs": 1, "episodes_per_epoch": 4, "random_state": 0}
    for name in (FIRST, SECOND):
        start = time.process_time()
        NeuralProcessDetector(**little).fit(X)
        seconds[name] = time.process_time() - start
    return seconds


def some_fits() -> dict[str, float]:
    """Measure processor time of fits, each after a small one that pays for imports."""
    import numpy as np
    from sklearn.base import clone

    import sklearn_fsad

    rng, seconds = np.random.default_rng(0), {}
    for name, (kind, n, d, parameters) in FITS.items():
        detector = getattr(sklearn_fsad, kind)(**parameters, random_state=0)
        X, y = rng.normal(size=(n, d)), (np.arange(n) < N_ANOMALOUS).astype(int)
        clone(detector).set_params(episodes_per_epoch=4).fit(X[:20], y[:20])
        start = time.process_time()
        detector.fit(X, y)
        seconds[name] = time.process_time() - start
    return seconds

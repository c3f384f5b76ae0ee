"""A tiny synthetic family of tasks, for the benchmarks on families."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six tasks in three groups, one of them short of rows, and one task without anomalies."""
    path = tmp_path_factory.mktemp("family")
    names = ["pump1_0", "pump1_12", "pump2_3", "pump2_4", "fan_0", "fan_1", "calm_calm"]
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        n, k = (27, 8) if name == "fan_1" else (60, 0 if name == "calm_calm" else 20)
        normals = rng.normal(size=(n, 4)) + seed
        anomalies = 2 * rng.normal(size=(k, 4)) + seed + [1.5, 0, 0, 0]
        X, y = np.vstack([normals, anomalies]), np.repeat([0, 1], [n, k])
        order = rng.permutation(len(y))
        np.savez(path / f"{name}.npz", X=X[order], y=y[order].astype(np.int8))
    return path


@pytest.fixture(scope="module")
def tasks(bench, folder):
    return bench.protocols.families.load_family(folder)


@pytest.fixture(scope="module")
def task(tasks):
    return next(task for task in tasks if task.name == "pump1_0")

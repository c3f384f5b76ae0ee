"""Meta-fit detectors on recordings of a pump, on tables and on embeddings of images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench.protocols.families import Task, load_family
from bench.protocols.tables import some_rows
from bench.speed.timing import Section, medians_of

from sklearn_fsad import InContextDetector, MAMLDetector, ProtoNetDetector

N_RECORDINGS = 20
PUMP, TABLES, IMAGES = "skab", "adbench", "mvtec_vit"
ABOUT = (
    f"`meta_fit` with the default parameters: on the first {N_RECORDINGS} recordings of the pump "
    "that have anomalies, on tables that have nothing in common, of at most 5000 rows each, and on "
    "embeddings of images; {} rounds."
)


class Fit(NamedTuple):
    """Name a detector and the folder of its tasks."""

    detector: Callable[..., Any]
    folder: str


FITS = {
    "ProtoNetDetector(), pump": Fit(ProtoNetDetector, PUMP),
    "MAMLDetector(), pump": Fit(MAMLDetector, PUMP),
    "InContextDetector(), tables": Fit(InContextDetector, TABLES),
    "ProtoNetDetector(), images": Fit(ProtoNetDetector, IMAGES),
}


def meta_fits(rounds: int, data: Path) -> Section:
    """Measure seconds of meta-fitting.

    Parameters
    ----------
    rounds : int
    data : Path
        Holds the folders; what is missing is left out, and named.
    """
    missing = sorted({fit.folder for fit in FITS.values() if not (data / fit.folder).is_dir()})
    about = ABOUT.format(rounds)
    if missing:
        about += f" Not measured, since `--data` has no such folder: {', '.join(missing)}."
    tasks = {name: tasks_of(data, name) for name in (PUMP, TABLES, IMAGES) if name not in missing}
    functions = {
        name: partial(_meta_fit, fit, tasks[fit.folder])
        for name, fit in FITS.items()
        if fit.folder in tasks
    }
    seconds = medians_of(functions, rounds)
    rows = [
        {"method": name, "tasks": len(tasks[FITS[name].folder]), "s": s}
        for name, s in seconds.items()
    ]
    return Section("Meta-fitting", about, rows)


def tasks_of(data: Path, name: str) -> list[Task]:
    """Load the tasks of a folder: some of the recordings, some rows of large tables."""
    tasks = load_family(data / name)
    if name == PUMP:
        return [task for task in tasks if task.testable][:N_RECORDINGS]
    if name != TABLES:
        return tasks
    rng, parts = np.random.default_rng(0), []
    for task in tasks:
        rows = some_rows(task.y, rng)
        parts.append(Task(task.name, task.group, task.X[rows], task.y[rows]))
    return parts


def _meta_fit(fit: Fit, tasks: list[Task]) -> Any:
    pairs = [(task.X, task.y) for task in tasks]
    return fit.detector(random_state=0, outlier_label=1).meta_fit(pairs)

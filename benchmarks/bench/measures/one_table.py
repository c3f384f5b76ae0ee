"""Measure ROC AUC, false alarms and named features on one table, draw by draw."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from bench.methods.named import Maker, suits
from bench.protocols.one_table import TestRows
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits
from tqdm import tqdm

Row = dict[str, Any]
Cell = Callable[[], list[Row]]
NOT_ALWAYS = ("fit_seconds", "alarms", "rank", "first", "both_on_top", "error")


def measure(
    makers: Mapping[str, Maker], support: np.ndarray, test: TestRows, seed: int
) -> list[Row]:
    """Fit each method to a support of normals and score the rows to test on.

    Returns
    -------
    list of dict
        One for each method and kind of anomaly. A method that fails has an ``error`` and no AUC.
    """
    rows = []
    for name, make in makers.items():
        if not suits(name, *support.shape):
            continue
        try:
            found = measure_one(make(seed), support, test)
        except Exception as error:
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}".splitlines()[0]
            found = [{"kind": kind, "auc": np.nan, "error": failure} for kind in test.anomalies]
        rows += [{"method": name, **row} for row in found]
    return rows


def measure_one(method: Any, support: np.ndarray, test: TestRows) -> list[Row]:
    """Measure one method, by kind of anomaly."""
    start = time.perf_counter()
    method.fit(support, np.zeros(len(support), dtype=np.int64))
    seconds = time.perf_counter() - start
    aucs = kind_aucs(method.anomaly_score, test)
    rows: list[Row] = [{"kind": kind, "auc": auc} for kind, auc in aucs.items()]
    called = method.alarms(test.fresh) if hasattr(method, "alarms") else None
    if called is not None:  # else its fit was another's, or is not of interest
        rows = [{**row, "fit_seconds": seconds, "alarms": called.mean()} for row in rows]
    tell = getattr(method, "feature_scores", lambda X: None)
    for row in rows:
        row |= blame(tell, test, row["kind"])
    return rows


def kind_aucs(score: Callable[[np.ndarray], np.ndarray], test: TestRows) -> dict[str, float]:
    """Return the ROC AUC of each kind of anomaly; all rows are scored in one go."""
    parts = [test.fresh, *test.anomalies.values()]
    scores = np.split(score(np.concatenate(parts)), np.cumsum([len(part) for part in parts])[:-1])
    normal = scores[0]
    return {
        kind: float(
            roc_auc_score(np.repeat([0, 1], [len(normal), len(s)]), np.concatenate([normal, s]))
        )
        for kind, s in zip(test.anomalies, scores[1:], strict=True)
    }


def blame(
    tell: Callable[[np.ndarray], np.ndarray | None], test: TestRows, kind: str
) -> dict[str, float]:
    """Measure how well feature scores point at what was replaced, or at the bound features."""
    X = test.anomalies[kind]
    if kind == "one" and test.replaced is not None:
        known = test.replaced >= 0
        if not known.any() or (terms := tell(X[known])) is None:
            return {}
        rank = ranks_of(terms, test.replaced[known])
        return {"rank": float(rank.mean()), "first": float((rank < 1.5).mean())}
    if test.bound is not None and (terms := tell(X)) is not None:
        return {"both_on_top": float(both_on_top(terms, test.bound).mean())}
    return {}


def ranks_of(terms: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Rank one column in each row, 1 = largest; equal terms share their mean rank.

    Examples
    --------
    >>> ranks_of(np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0]]), np.array([2, 0]))
    array([2. , 1.5])
    """
    mine = terms[np.arange(len(terms)), columns][:, None]
    larger, equal = (terms > mine).sum(axis=1), (terms == mine).sum(axis=1)
    return larger + (equal + 1) / 2


def both_on_top(terms: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Tell whether exactly these columns have the largest terms of a row."""
    others = np.delete(terms, list(columns), axis=1)
    return terms[:, list(columns)].min(axis=1) > others.max(axis=1)


def run_cells(cells: Iterable[Cell], n_jobs: int, title: str) -> list[Row]:
    """Run cells in turn or side by side, each on one thread."""
    cells = list(cells)
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_on_one_thread)(cell) for cell in cells
    )
    rows = []
    for part in tqdm(results, title, total=len(cells)):
        rows += part
    return rows


def as_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as a table, which has all columns even where nobody measured them."""
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=list(dict.fromkeys([*frame.columns, *NOT_ALWAYS])))


def _on_one_thread(cell: Cell) -> list[Row]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return cell()
    finally:
        torch.set_num_threads(before)

"""Report quality by the number of labels given, for each way of choosing the rows to label."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from bench.report.markdown import compare, markdown

AGAINST = ("top", "random")


def labels_report(frame: pd.DataFrame, mine: str) -> str:
    """Return a table for each family and for all tasks, and what is ahead and what behind.

    Parameters
    ----------
    frame : DataFrame
        One row for each task, draw, detector and way, with columns ap_0, ap_1, ...
    mine : str
        The way that is compared with the others.
    """
    families = list(dict.fromkeys(frame.family))
    parts = []
    for family in [*(["all tasks"] if len(families) > 1 else []), *families]:
        part = frame if family == "all tasks" else frame[frame.family == family]
        parts.append(f"## {family}, {part.groupby('family').task.nunique().sum()} tasks")
        parts += sections(part, mine)
    return "\n\n".join(parts)


def sections(frame: pd.DataFrame, mine: str) -> Iterator[str]:
    """Yield a title and a table for each detector that can ask in several ways."""
    measures = [column for column in frame if column.startswith("ap_")]
    by_task = frame.groupby(["detector", "way", "family", "task"])[measures].mean()
    others = {key for key in by_task.index.droplevel([2, 3]) if key[0] == "AADForest"}
    for detector in dict.fromkeys(frame.detector):
        if detector == "AADForest":
            continue
        ways = list(dict.fromkeys(frame[frame.detector == detector].way))
        columns = [(detector, way) for way in ways] + sorted(others)
        yield f"### {detector}"
        yield table(by_task, columns, (detector, mine))
        yield found_line(frame[frame.detector.isin([detector, "AADForest"])])


def table(by_task: pd.DataFrame, columns: list[tuple[str, str]], mine: tuple[str, str]) -> str:
    """Return the mean after each label, the best of a row in bold, and pairs of task means."""
    against = [(mine[0], way) for way in AGAINST if (mine[0], way) in columns and way != mine[1]]
    lines = []
    for measure in by_task.columns:
        values = {key: by_task.loc[key, measure] for key in columns}
        best = max(v.mean() for v in values.values())
        shown = [f"{v.mean():.3f}" for v in values.values()]
        shown = [f"**{s}**" if s == f"{best:.3f}" else s for s in shown]
        pairs = [str(compare(values[mine], values[key])) for key in against]
        lines.append([measure.removeprefix("ap_"), *shown, *pairs])
    names = [way if detector == mine[0] else f"{detector}, {way}" for detector, way in columns]
    minus = [f"{mine[1]} minus {way} (SE) wins-losses" for _, way in against]
    return markdown(["labels", *names, *minus], lines)


def found_line(frame: pd.DataFrame) -> str:
    """Tell how many anomalies were found."""
    found = frame.groupby(["detector", "way"], sort=False)[["found", "in_pool"]].mean()
    shown = [
        f"{way if d != 'AADForest' else f'{d}, {way}'} {row.found:.1f}"
        for (d, way), row in found.iterrows()
    ]
    return f"Anomalies found, of {frame.in_pool.mean():.1f} in the pool: {', '.join(shown)}."

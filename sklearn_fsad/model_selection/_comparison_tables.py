"""Write a comparison as a table: plain text, Markdown, HTML and LaTeX."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .._typing import Array

if TYPE_CHECKING:
    from ._comparison import Comparison

_MARK = "†"
_NOTE = (
    f"{_MARK} Scored without what meta_fit trained, since that was not better on tasks held out of "
    "the training: by the default formula or the weights it started from."
)
_METRICS = {"roc_auc": "ROC AUC", "average_precision": "AP", "f1": "F1"}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\n": " ",
    _MARK: r"\textdagger{}",
}  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """Hold the written cells of a table, and the place of each in its column, 1 = best."""

    names: list[str]
    heads: list[str]
    columns: list[list[str]]
    places: list[list[int]]
    note: str = ""

    def rows(self) -> list[tuple[str, list[tuple[str, int]]]]:
        """List the name of each row and its (cell, place)."""
        pairs = [list(zip(*c, strict=True)) for c in zip(self.columns, self.places, strict=True)]
        return [(name, [pair[i] for pair in pairs]) for i, name in enumerate(self.names)]


def shots_name(shots: tuple[int, int]) -> str:
    """Name a setting by its numbers of normal and anomalous rows."""
    return f"{shots[0]}+{shots[1]}"


def metric_name(scoring: str) -> str:
    """Return the usual name of a metric."""
    return _METRICS.get(scoring, scoring.capitalize())


def cells_of(comparison: Comparison) -> Cells:
    """Write means with standard errors for each metric and shots, and mean ranks."""
    told = _by_default(comparison)
    names = [f"{name} {_MARK}" if name in told else name for name in comparison.detectors]
    note = f"{_NOTE} {'; '.join(f'{name}: {where}' for name, where in told.items())}."
    cells = Cells(names, [], [], [], note if told else "")
    for scoring in comparison.scoring:
        means, errors = comparison.mean(scoring), comparison.standard_error(scoring)
        for s, shots in enumerate(comparison.shots):
            cells.heads.append(f"{metric_name(scoring)} {shots_name(shots)}")
            pairs = zip(means[:, s], errors[:, s], strict=True)
            cells.columns.append([_mean_and_error(mean, error) for mean, error in pairs])
            cells.places.append(_places(means[:, s].round(3)))
    for scoring in comparison.scoring:
        found = comparison.mean_ranks(scoring)
        ranks = np.array([found.get(name, np.nan) for name in comparison.detectors])
        cells.heads.append(f"mean rank ({metric_name(scoring)})")
        cells.columns.append(["-" if np.isnan(rank) else f"{rank:.2f}" for rank in ranks])
        cells.places.append(_places(-ranks.round(2)))
    return cells


def _by_default(comparison: Comparison) -> dict[str, str]:
    """Say of each detector to mark with which shots and on how many tasks; none without any."""
    if comparison.by_default is None:
        return {}
    drawn, found = comparison.drawn.sum(axis=0), {}
    for name, counts in zip(comparison.detectors, comparison.by_default.sum(axis=1), strict=True):
        parts = [
            f"{shots_name(shots)} on {counts[s]} of {drawn[s]} tasks"
            for s, shots in enumerate(comparison.shots)
            if counts[s]
        ]
        if parts:
            found[name] = ", ".join(parts)
    return found


def text(cells: Cells) -> str:
    """Write plain text."""
    width = max(map(len, ["detector", *cells.names]))
    widths = [max(map(len, [h, *c])) for h, c in zip(cells.heads, cells.columns, strict=True)]
    lines = [("detector", [(head, 0) for head in cells.heads]), *cells.rows()]
    written = [
        "  ".join(
            [f"{name:<{width}}", *(f"{c:>{w}}" for (c, _), w in zip(row, widths, strict=True))]
        )
        for name, row in lines
    ]
    return "\n".join([*written, *filter(None, [cells.note])])


def markdown(cells: Cells) -> str:
    """Write Markdown, the best of each column bold."""
    lines = [f"| detector | {' | '.join(cells.heads)} |", "|---" + "|---:" * len(cells.heads) + "|"]
    for name, row in cells.rows():
        written = [f"**{cell}**" if place == 1 else cell for cell, place in row]
        lines.append(f"| {' | '.join([name.replace('|', chr(92) + '|'), *written])} |")
    return "\n".join([*lines, *(["", cells.note] if cells.note else [])])


def html(cells: Cells) -> str:
    """Write an HTML table, the best of each column bold."""
    head = "".join(f"<th>{escape(head)}</th>" for head in ["", *cells.heads])
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for name, row in cells.rows():
        written = [f"<b>{cell}</b>" if place == 1 else cell for cell, place in row]
        body = "".join(f"<td>{cell}</td>" for cell in written)
        lines.append(f"<tr><th>{escape(name)}</th>{body}</tr>")
    note = f"<p>{escape(cells.note)}</p>" if cells.note else ""
    return "\n".join([*lines, f"</tbody></table>{note}"])


def latex(cells: Cells) -> str:
    """Write a ``tabular`` of booktabs, the best of each column bold, the second underlined."""
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(cells.heads)}}}",
        r"\toprule",
        " & ".join(["Detector", *map(escape_latex, cells.heads)]) + r" \\",
        r"\midrule",
    ]
    for name, row in cells.rows():
        written = [_marked(cell.replace("±", r"$\pm$"), place) for cell, place in row]
        lines.append(" & ".join([escape_latex(name), *written]) + r" \\")
    lines.append(r"\bottomrule")
    if cells.note:
        width = rf"\multicolumn{{{len(cells.heads) + 1}}}{{p{{0.9\linewidth}}}}"
        lines.append(rf"{width}{{\footnotesize {escape_latex(cells.note)}}} \\")
    return "\n".join([*lines, r"\end{tabular}"])


def escape_latex(name: str) -> str:
    """Escape the characters that mean something to LaTeX."""
    return "".join(_LATEX.get(letter, letter) for letter in name)


def _marked(cell: str, place: int) -> str:
    command = {1: "textbf", 2: "underline"}.get(place)
    return f"\\{command}{{{cell}}}" if command else cell


def _mean_and_error(mean: float, error: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f} ± {error:.3f}" if np.isfinite(error) else f"{mean:.3f}"


def _places(values: Array) -> list[int]:
    """Return the place of each value among the different ones, 1 = largest; 0 for NaN."""
    different = sorted({float(v) for v in values if not np.isnan(v)}, reverse=True)
    return [0 if np.isnan(v) else different.index(float(v)) + 1 for v in values]

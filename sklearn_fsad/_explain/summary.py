"""Say in words what a detector is, what it learned and how it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

_MOST_NAMES = 8
_REGIMES = {
    "unlabelled": "without labelled anomalies",
    "labelled": "with labelled anomalies",
}


@dataclass(frozen=True)
class Summary:
    """Hold what a detector is, what it was fitted to, what it learned and how it decides.

    ``print`` shows it; notebooks show a table.

    Parameters
    ----------
    detector : str
        Name of the class.
    description : str
        How it scores rows, in one line.
    n_normal, n_anomalous, n_unlabelled : int or None
        Rows given to ``fit`` by their labels; None before ``fit``.
    columns : tuple or None
        Names of the columns, ``x0``, ``x1``, ... where they have none; None before ``fit``.
    n_tasks : int
        Number of training tasks; 0 if nothing was learned from tasks.
    learned_from : str
        The same in words, with the shots of the episodes if they are known.
    held_out : tuple of dict
        Comparisons on held-out tasks, as in ``pretrained.info["held_out"]``.
    threshold : float or None
        ``offset_``: rows whose ``score_samples`` are lower are flagged.
    threshold_aim : str or None
        How the threshold was chosen.
    false_alarm_rate : float or None
        Rate of false alarms that it aims at; None if it has no target rate.
    left_out_alarm_rate : float or None
        Share of the normal training rows that it flags by their leave-one-out scores.
    task_distance, task_percentile : float or None
        Distance to the training tasks, and the share of these, in %, that are nearer to the others;
        None where they are not known.
    is_far : bool
        Whether the new task is so far from the training tasks that ``fit`` warns.
    advice : tuple of str
        What to do next.
    """

    detector: str
    description: str
    n_normal: int | None
    n_anomalous: int | None
    n_unlabelled: int | None
    columns: tuple[Any, ...] | None
    n_tasks: int
    learned_from: str
    held_out: tuple[Mapping[str, Any], ...]
    threshold: float | None
    threshold_aim: str | None
    false_alarm_rate: float | None
    left_out_alarm_rate: float | None
    task_distance: float | None
    task_percentile: float | None
    is_far: bool
    advice: tuple[str, ...]

    def __str__(self) -> str:
        lines = self._lines()
        width = max(len(name) for name, _ in lines)
        shown = [f"  {name:<{width}}  {value}".rstrip() for name, value in lines]
        advice = [f"- {sentence}" for sentence in self.advice]
        return "\n".join([f"{self.detector}: {self.description}", *shown, *advice])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self._lines()
        )
        advice = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.advice)
        title = f"<b>{escape(self.detector)}</b>: {escape(self.description)}"
        return f"<div>{title}<table>{rows}</table>{advice and f'<ul>{advice}</ul>'}</div>"

    def _lines(self) -> list[tuple[str, str]]:
        """List a name and a value for each line; lines of one thing repeat no name."""
        verdicts = [verdict(entry) for entry in self.held_out]
        lines = [("fitted to", self._rows_in_words())]
        if self.columns is not None:
            lines.append(("columns", _listed(self.columns)))
        lines.append(("learned from", self.learned_from))
        lines += [("held-out tasks" if i == 0 else "", v) for i, v in enumerate(verdicts)]
        if self.threshold is not None:
            low = f"score_samples below {self.threshold:.4g}"
            lines.append(("threshold", f"{low}, {self.threshold_aim}"))
            lines.append(("false alarms", self._alarms_in_words()))
        if self.task_distance is not None:
            lines.append(("distance to tasks", self._distance_in_words()))
        return lines

    def _rows_in_words(self) -> str:
        if self.n_normal is None:
            return "nothing yet"
        return (
            f"{self.n_normal} normal, {self.n_anomalous} anomalous and {self.n_unlabelled} "
            "unlabelled rows"
        )

    def _alarms_in_words(self) -> str:
        aim = "no target rate"
        if self.false_alarm_rate is not None:
            aim = f"target {self.false_alarm_rate:.1%} of normal rows"
        return f"{aim}; leave-one-out on the training rows {self.left_out_alarm_rate:.1%}"

    def _distance_in_words(self) -> str:
        far = "; too far to rely on what was learned" if self.is_far else ""
        return f"{self.task_distance:.2f}, farther out than {self.task_percentile:.0f} %{far}"


def verdict(entry: Mapping[str, Any]) -> str:
    """Say whether learning helped on held-out tasks, from an entry of ``info["held_out"]``."""
    aucs, used = entry["roc_auc"], entry["used"]
    what = f"{entry['choice']} {_REGIMES.get(entry['regime'], entry['regime'])}"
    baseline = "closed form" if "closed form" in aucs else next(iter(aucs), used)
    others = {name: auc for name, auc in aucs.items() if name != baseline}
    if used not in aucs or not others:
        return f"{what}: not compared, {_shown(used)} is used"
    if used == baseline:
        best = max(others, key=lambda name: others[name])
        figures = f"ROC AUC {others[best]:.3f} ({best}) against {aucs[baseline]:.3f}"
        return f"{what}: did not clearly help, {figures}, so {_shown(baseline)} is used"
    how = "helped" if aucs[used] > aucs[baseline] else "did not help but is used"
    option = f"{entry['size']:.0%} of the correction" if "size" in entry else used
    figures = f"ROC AUC {aucs[used]:.3f} ({option}) against {aucs[baseline]:.3f}"
    error = entry.get("standard_error")
    known = "" if error is None else f", standard error of the gain {error:.3f}"
    return f"{what}: {how}, {figures} ({_shown(baseline)}){known}"


def _shown(option: str) -> str:
    return "default formula" if option == "closed form" else option


def _listed(names: tuple[Any, ...]) -> str:
    shown = ", ".join(str(name) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{len(names)}: {shown}" + (f" and {more} more" if more > 0 else "")

"""Plot the losses of meta-training and its results on held-out tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .._input.estimators import final_estimator
from .._state import resolve_state
from ._style import ANOMALY_COLOR, GREY, NORMAL_COLOR, check_matplotlib, tidy, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_LOSSES = {"train_loss": ("training episodes", NORMAL_COLOR, "-"),
           "valid_loss": ("held-out tasks", ANOMALY_COLOR, "--")}  # fmt: skip
_EARLIER_OPTIONS = {"adapted": "network", "as before": "before"}  # of states of version 0.1
_REGIMES = {"unlabelled": "normals only", "labelled": "with labelled anomalies"}


class MetaTrainingDisplay:
    """Plot the losses of meta-training, and the ROC AUC of its options on held-out tasks.

    Make one by :meth:`from_estimator`. Either plot can be missing: with fewer than three groups of
    tasks none can be held out, and if the default formula ("closed form" in the plot) was kept, no
    network may have been trained on all tasks.

    Parameters
    ----------
    history : sequence of dict
        ``train_loss`` and, where there is one, ``valid_loss`` of each epoch.
    held_out : sequence of dict, default=()
        Reports, each with its ``choice``, the kind of training rows (``regime``), the option that
        is ``used`` and, in ``roc_auc``, the ROC AUC of each option.
    name : str, default=None
        Name of the detector, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of ``axes_``; set by :meth:`plot`.
    axes_ : list of matplotlib Axes
        One for the history and one for held-out tasks, if there is anything to draw.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn_fsad import ProtoNetDetector
    >>> from sklearn_fsad.datasets import make_related_tasks
    >>> from sklearn_fsad.plotting import MetaTrainingDisplay
    >>> few = {"n_normal": (5, 20), "n_anomalous": (0, 5), "episodes_per_epoch": 8}
    >>> detector = ProtoNetDetector(**few, max_epochs=5, random_state=0)
    >>> detector = detector.meta_fit(make_related_tasks(3, random_state=0))
    >>> display = MetaTrainingDisplay.from_estimator(detector)
    >>> len(display.history), len(display.axes_)
    (5, 2)
    """

    def __init__(
        self,
        history: Sequence[Mapping[str, float]],
        held_out: Sequence[Mapping[str, Any]] = (),
        *,
        name: str | None = None,
    ) -> None:
        self.history = history
        self.held_out = held_out
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        name: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the training of a meta-fitted detector.

        Parameters
        ----------
        estimator : estimator
            A detector of this package after ``meta_fit``, one that trained a network in ``fit``, or
            a pipeline that ends with one.
        name : str, default=None
            For the title; the class of the detector when None.
        ax : matplotlib Axes or sequence of two, default=None
            A new figure when None. A single one shows the history, or held-out tasks where there
            is no history.
        **kwargs
            Keyword arguments of :meth:`plot`.

        Returns
        -------
        display : MetaTrainingDisplay

        Raises
        ------
        ValueError
            If the detector was not meta-fitted, or nothing was trained.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detector = final_estimator(estimator)
        state = getattr(detector, "state_", None)
        if state is None:
            state = resolve_state(getattr(detector, "pretrained", None))
        title = type(detector).__name__ if name is None else name
        if state is None:
            raise ValueError(f"This {title} was not meta-fitted: call meta_fit first.")
        history, held_out = state.info.get("history", []), state.info.get("held_out", [])
        if not history and not _reports(held_out):
            raise ValueError(
                f"Nothing to plot: the state of this {title} was not trained, or was made without "
                "the history of its training."
            )
        return cls(history, held_out, name=title).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the history, the held-out tasks, or both.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of two, default=None
            A new figure when None. A single one shows the history, or held-out tasks where there
            is no history.
        name : str, default=None
            For the title; that of the constructor when None.
        **kwargs
            Keyword arguments of ``Axes.plot``, for the losses.

        Returns
        -------
        display : MetaTrainingDisplay
            Itself, with ``ax_``, ``axes_`` and ``figure_``.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        drawable = {"history": self.history, "held_out": _reports(self.held_out)}
        panels = [name for name, content in drawable.items() if len(content)]
        if ax is None:
            import matplotlib.pyplot as plt

            size = (5.2 * len(panels), self._height())
            _, axes = plt.subplots(
                1, len(panels), squeeze=False, figsize=size, layout="constrained"
            )
            self.axes_: list[Axes] = list(axes[0])
        else:
            self.axes_ = list(np.ravel(np.asarray(ax, dtype=object)))
        for panel, axis in zip(panels, self.axes_, strict=False):
            if panel == "history":
                self._plot_history(axis, kwargs)
            else:
                self._plot_held_out(axis)
        self.ax_ = self.axes_[0]
        self.figure_: Figure = self.ax_.figure  # type: ignore[assignment]
        title = self.name if name is None else name
        if title:
            self.ax_.set_title(title)
        return self

    def _height(self) -> float:
        reports = _reports(self.held_out)
        return max(4.0, 0.8 + 0.28 * sum(1.6 + len(r["roc_auc"]) for r in reports))

    def _plot_history(self, ax: Axes, kwargs: dict[str, Any]) -> None:
        epochs = np.arange(1, len(self.history) + 1)
        for key, (label, color, style) in _LOSSES.items():
            losses = [epoch.get(key, np.nan) for epoch in self.history]
            if np.isfinite(losses).any():
                marker = "o" if len(epochs) < 30 else ""
                look = {"color": color, "linestyle": style, "marker": marker, "markersize": 4}
                ax.plot(epochs, losses, **{"label": label, **look, **kwargs})
        ax.set(xlabel="Epoch", ylabel="Meta-training loss")
        whole_numbers(ax.xaxis)
        tidy(ax)
        ax.legend(frameon=False)

    def _plot_held_out(self, ax: Axes) -> None:
        ticks, labels, row = [], [], 0.0
        reports = _reports(self.held_out)
        for report in reports:
            used = report["used"]
            share = f", {report['size']:.0%} of the correction" if "size" in report else ""
            ax.text(0.0, row, f"{_title(report)}: {used}{share}",
                    transform=ax.get_yaxis_transform(), fontweight="bold", fontsize="small",
                    va="center")  # fmt: skip
            for option, auc in report["roc_auc"].items():
                row -= 1.0
                color = NORMAL_COLOR if option == used else GREY
                face = color if option == used else "white"
                ax.hlines(row, 0.0, auc, color="0.88", linewidth=1, zorder=0)
                ax.plot(auc, row, "o", color=color, markerfacecolor=face)
                ax.annotate(f"{auc:.3f}", (auc, row), xytext=(7, 0), textcoords="offset points",
                            va="center", fontsize="small", color=color)  # fmt: skip
                ticks.append(row)
                labels.append(option)
            row -= 1.6
        values = [auc for report in reports for auc in report["roc_auc"].values()]
        low, high = min(values), max(values)
        margin = max(0.02, 0.25 * (high - low))
        ax.set(xlim=(low - margin, high + 1.3 * margin), ylim=(row + 0.8, 0.8))
        ax.set_yticks(ticks, labels)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("ROC AUC on held-out tasks (filled = used)")
        tidy(ax)
        ax.spines["left"].set_visible(False)


def _title(report: Mapping[str, Any]) -> str:
    """Make the title of a report: the choice and the kind of support."""
    regime = _REGIMES.get(report["regime"], report["regime"])
    return ", ".join(part for part in (report["choice"], regime) if part).capitalize()


def _reports(held_out: Any) -> list[dict[str, Any]]:
    """Select the reports that hold results, those of earlier versions converted to this form."""
    if isinstance(held_out, Mapping):
        reports = _of_earlier_processes(held_out)
    else:
        reports = [r if "roc_auc" in r else _of_earlier_version(r) for r in held_out]
    return [dict(report) for report in reports if report["roc_auc"]]


def _of_earlier_version(report: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a report of version 0.1, in which options stood beside the other keys."""
    options = {name: auc for name, auc in report.items() if name not in ("regime", "used")}
    stages = options.pop("stages", [])
    options |= {f"stage {i}": auc for i, auc in enumerate(stages, start=1)}
    roc_auc = {_EARLIER_OPTIONS.get(name, name): float(auc)
               for name, auc in options.items() if np.isfinite(auc)}  # fmt: skip
    used = _EARLIER_OPTIONS.get(report["used"], report["used"])
    return {"choice": "", "regime": report["regime"], "used": used, "roc_auc": roc_auc}


def _of_earlier_processes(held_out: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Convert the reports of a neural process of version 0.1, which were a mapping."""
    reports = []
    by_rows = held_out.get("prior_rows")
    if by_rows:
        roc_auc = {f"{float(rows):g} rows": float(auc) for rows, auc in by_rows.items()}
        best = max(roc_auc, key=roc_auc.__getitem__)
        reports.append(
            {"choice": "covariance prior", "regime": "", "used": best, "roc_auc": roc_auc}
        )
    for key, choice, names in (
        ("weights", "feature weights", {"closed form": "equal weights",
                                        "network": "learned weights"}),
        ("network", "network", {"closed form": "closed form", "network": "network"}),
    ):  # fmt: skip
        for report in map(_of_earlier_version, held_out.get(key, [])):
            roc_auc = {names[name]: auc for name, auc in report["roc_auc"].items() if name in names}
            reports.append(
                {**report, "choice": choice, "used": names[report["used"]], "roc_auc": roc_auc}
            )
    return reports

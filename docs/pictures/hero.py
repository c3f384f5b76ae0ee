"""The picture on the first page: a new pump, its anomaly score, the threshold and a fault."""

import matplotlib.pyplot as plt
import numpy as np
from pictures.palette import DARK, LIGHT

from sklearn_fsad import ProtoNetDetector

N_SUPPORT, FAULT = 48, slice(110, 135)
SENSORS = ("flow", "pressure", "temperature")


def draw_heroes(folder):
    """Write hero.png and hero_dark.png."""
    readings, detector = _new_pump()
    scores, threshold = -detector.score_samples(readings), -detector.offset_
    for palette in (LIGHT, DARK):
        figure = _draw(readings, scores, threshold, palette)
        figure.savefig(folder / f"hero{palette.suffix}.png", dpi=200, metadata={"Software": None})
        plt.close(figure)


def _new_pump():
    """Readings of a new pump, and a detector that knows twelve others and its first rows."""
    rng = np.random.default_rng(3)
    others = [_pump(rng, np.sort(rng.normal(size=100)), slice(0, 100, 5)) for _ in range(12)]
    hours = np.arange(160)
    load = np.sin(hours / 24 * 2 * np.pi) + rng.normal(scale=0.35, size=len(hours))
    readings, _ = _pump(rng, load, FAULT)
    detector = ProtoNetDetector(threshold="conformal", outlier_label=1, random_state=0)
    return readings, detector.meta_fit(others).fit(readings[:N_SUPPORT])


def _pump(rng, load, fault):
    """All sensors follow the load, each pump at a level of its own; a fault is too much heat."""
    y = np.zeros(len(load), dtype=int)
    y[fault] = 1
    X = load[:, None] * [3.0, 2.0, 1.0] + rng.normal(scale=0.25, size=(len(load), 3))
    X[:, 2] += 1.2 * y
    return X + rng.normal(scale=5.0, size=3), y


def _draw(readings, scores, threshold, palette):
    style = {
        "font.size": 13,
        "text.color": palette.text,
        "axes.labelcolor": palette.text,
        "xtick.color": palette.faint,
        "xtick.major.size": 0,
        "figure.facecolor": palette.page,
        "axes.facecolor": palette.page,
    }
    with plt.rc_context(style):
        figure, (top, bottom) = plt.subplots(
            2, 1, figsize=(6.6, 4.6), sharex=True, layout="constrained", height_ratios=(1.15, 1)
        )
        _draw_readings(top, readings, palette)
        _draw_scores(bottom, scores, threshold, palette)
        for axes in (top, bottom):
            axes.axvspan(0, N_SUPPORT - 1, color=palette.normal, alpha=0.13, lw=0)
            axes.axvspan(FAULT.start, FAULT.stop - 1, color=palette.anomaly, alpha=0.13, lw=0)
            axes.spines[:].set_visible(False)
            axes.set_yticks([])
    return figure


def _draw_readings(axes, readings, palette):
    hours = np.arange(len(readings))
    spread = readings[:N_SUPPORT].std(axis=0)
    level = readings[:N_SUPPORT].mean(axis=0)
    for i, name in enumerate(SENSORS):
        line = (readings[:, i] - level[i]) / spread[i] - 5 * i
        axes.plot(hours, line, color=palette.normal, lw=1.6, alpha=1 - 0.2 * i)
        axes.text(162, -5 * i, name, va="center", fontsize=12)
    axes.set_xlim(0, 192)
    axes.set_title("A new pump: readings", loc="left", fontsize=14, fontweight="bold", pad=24)
    top = axes.get_ylim()[1]
    axes.text((N_SUPPORT - 1) / 2, top, "48 rows to fit", ha="center", va="bottom", fontsize=11)
    middle = (FAULT.start + FAULT.stop - 1) / 2
    axes.text(middle, top, "too hot for its load", ha="center", va="bottom", fontsize=11)


def _draw_scores(axes, scores, threshold, palette):
    hours = np.arange(len(scores))
    flagged = scores > threshold
    axes.vlines(hours, scores.min(), scores, color=palette.normal, lw=1.4, alpha=0.45)
    axes.scatter(hours[~flagged], scores[~flagged], s=16, color=palette.normal)
    axes.scatter(hours[flagged], scores[flagged], s=34, color=palette.anomaly, zorder=3)
    axes.axhline(threshold, xmax=160 / 192, color=palette.text, lw=1.2, ls=(0, (5, 3)))
    axes.text(162, threshold, "threshold", va="center", fontsize=12)
    axes.set_title("Anomaly score", loc="left", fontsize=14, fontweight="bold")
    axes.set_xticks(range(0, 161, 40))
    axes.set_xlabel("hours", color=palette.faint, fontsize=12)

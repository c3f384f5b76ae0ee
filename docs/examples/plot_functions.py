"""
A day's curve from a few readings
=================================

A sensor is read at odd times of the day. Every day has its own level, swing and peak, so that a
value that is ordinary on one day is wrong on another: a fixed limit finds little. But days are
alike in kind. A neural process learns from past days how such curves run; given a few readings of a
new day it then says what to expect at any other time, and how sure that is.
"""

# %%
# Past days
# ---------
# A day is a table of two columns, the hour and the value. No two days are read at the same times,
# nor equally often. Nothing is labelled.

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm

from sklearn_fsad import NeuralProcessDetector

NOISE = 0.4
rng = np.random.default_rng(0)


def new_curve():
    """One day: the value as a function of the hour."""
    level, swing, peak = rng.normal(20.0, 2.0), rng.uniform(2.0, 6.0), rng.uniform(10.0, 17.0)
    bump, when = rng.normal(0.0, 1.5), rng.uniform(0.0, 12.0)
    return lambda hour: (
        level
        + swing * np.cos(2 * np.pi * (hour - peak) / 24)
        + bump * np.cos(2 * np.pi * (hour - when) / 12)
    )


def readings(curve, hours):
    """Readings of a curve, with the noise of the sensor."""
    return pd.DataFrame({"hour": hours, "value": curve(hours) + rng.normal(0, NOISE, len(hours))})


past = [readings(new_curve(), rng.uniform(0, 24, size=rng.integers(60, 90))) for _ in range(200)]

# %%
# Learn how days run
# ------------------
# ``target_features`` names the column to predict; the others are what it is predicted from. Again
# and again some readings of a past day are shown and others asked for.
#
# With ``anomaly_score="error"`` the anomaly score of a reading is its distance from the prediction,
# in units of the uncertainty there: where little is known, much is possible.

detector = NeuralProcessDetector(
    kind="tnp",
    target_features=["value"],
    anomaly_score="error",
    n_normal=(4, 40),
    max_epochs=24,
    episodes_per_epoch=400,
    lr=5e-3,
    random_state=0,
)
detector.meta_fit(past)

# %%
# A new day
# ---------
# Fourteen readings, none between 8 and 15 o'clock: ``fit`` adapts to them without any training.
# Then come 80 more, seven of them wrong by some units.

curve = new_curve()
seen = readings(curve, np.concatenate([rng.uniform(0, 8, size=7), rng.uniform(15, 24, size=7)]))
detector.fit(seen)

new = readings(curve, np.sort(rng.uniform(0, 24, size=80)))
wrong = np.zeros(len(new), dtype=bool)
wrong[rng.choice(len(new), size=7, replace=False)] = True
new.loc[wrong, "value"] += rng.choice([-1, 1], size=7) * rng.uniform(3.0, 6.0, size=7)

flagged = detector.predict(new) == -1
print(f"{(flagged & wrong).sum()} of {wrong.sum()} wrong readings are flagged,")
print(f"and {(flagged & ~wrong).sum()} of the {(~wrong).sum()} right ones.")

# %%
# The prediction as a picture
# ---------------------------
# ``predict_distribution`` gives mean and standard deviation; what the column to predict holds does
# not matter to it. The band widens where nothing was seen: a wrong reading within it would be
# missed.

hours = pd.DataFrame({"hour": np.linspace(0, 24, 200), "value": np.nan})
mean, std = (part[:, 0] for part in detector.predict_distribution(hours))
half = norm.ppf(0.95) * std

fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for day in past[:8]:
    lines = ax.plot("hour", "value", data=day.sort_values("hour"), color="0.87", lw=0.8, zorder=0)
    lines[0].set_label("_past days")
lines[0].set_label("past days")
ax.fill_between(hours["hour"], mean - half, mean + half, color="C0", alpha=0.2, lw=0)
ax.plot(hours["hour"], mean, color="C0", label="expected, with a band of 90 %")
ax.plot(hours["hour"], curve(hours["hour"]), color="black", lw=0.8, ls="--", label="true curve")
for rows, label, style in (
    (seen, "seen", {"color": "black", "s": 28, "zorder": 3}),
    (new[~flagged], "new", {"color": "C0", "s": 9}),
    (new[flagged & wrong], "new and wrong, flagged", {"color": "C3", "s": 45, "marker": "X"}),
    (new[flagged & ~wrong], "new and right, flagged", {"color": "C1", "s": 30, "marker": "X"}),
    (new[~flagged & wrong], "new and wrong, missed", {"ec": "C3", "fc": "none", "s": 60}),
):
    if len(rows):
        ax.scatter("hour", "value", data=rows, label=label, **style)
ax.set(xlim=(0, 24), ylim=(5, 31), xticks=range(0, 25, 4), xlabel="hour", ylabel="value")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower center")
target = Path("functions.png")
fig.savefig(target, dpi=150)
print(f"\nFigure saved to {target.resolve().name}")

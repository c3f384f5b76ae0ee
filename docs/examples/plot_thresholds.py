"""
A promised rate of false alarms
===============================

A score ranks rows; an alarm needs a threshold. How many false alarms it raises on fresh normal rows
is measured here over many small supports, beside the usual way of flagging a share of the training
rows. Then p-values, discoveries and probabilities on one batch.
"""

# %%
# Fresh normal rows
# -----------------
# Wanted: five false alarms in a hundred. A share of the support, each of its rows judged by the
# others, comes near that and raises more from few rows. The conformal threshold keeps its promise
# on the mean over supports; from 15 rows it cannot promise less than 1 / 16, and warns (which is
# silenced here). The default aims at the rate itself, where "conformal" stays below it.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from sklearn_fsad import InContextDetector

ALPHA = 0.05
rng = np.random.default_rng(0)
mix = rng.normal(size=(5, 5))


def normal_rows(n):
    """Rows of a heavy-tailed law with correlated columns."""
    return rng.standard_t(4, size=(n, 5)) @ mix


settings = {
    "share of the support": {"contamination": ALPHA},
    'threshold="conformal"': {"threshold": "conformal", "alpha": ALPHA},
    'threshold="auto"': {"threshold": "auto", "alpha": ALPHA},
}
sizes = (15, 30, 60, 120)
rates = {name: np.zeros((len(sizes), 12)) for name in settings}
for i, n in enumerate(sizes):
    for draw in range(12):
        detector, fresh = InContextDetector().fit(normal_rows(n)), normal_rows(300)
        for name, setting in settings.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                detector.set_threshold(**setting)  # nothing is fitted again
            rates[name][i, draw] = (detector.predict(fresh) == -1).mean()

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, values in rates.items():
    mean, error = values.mean(axis=1), values.std(axis=1) / np.sqrt(12)
    ax.errorbar(range(len(sizes)), mean, error, marker="o", capsize=3, label=name)
ax.axhline(ALPHA, color="black", lw=0.8, ls="--", label="promised")
ax.set(xticks=range(len(sizes)), xticklabels=sizes, ylim=0)
ax.set(xlabel="normal rows in the support", ylabel="rate of false alarms")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# p-values and discoveries
# ------------------------
# A batch of 200 rows, 20 of them anomalies. ``predict_fdr`` flags rows so that on average at most a
# fifth of the flagged is normal.

detector = InContextDetector().fit(normal_rows(120))
batch = normal_rows(200)
batch[:20] += rng.choice([-1, 1], size=(20, 5)) * 6.0
p = detector.p_values(batch)
found = detector.predict_fdr(batch, q=0.2) == -1
print(f"{found.sum()} flagged, {found[20:].sum()} of them normal; {found[:20].sum()} of 20 found")

# %%
# Probabilities
# -------------
# Without past tasks they are read off the p-values, given the share of anomalies to expect.

probability = detector.predict_proba(batch, anomaly_rate=0.1)[:, 0]
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, values, name in zip(axes, (p, probability), ("p-value", "probability"), strict=True):
    bins = np.linspace(0, 1, 21)
    ax.hist([values[20:], values[:20]], bins, stacked=True, color=["0.75", "C3"])
    ax.set(xlabel=name, ylabel="rows")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(["normal", "anomaly"], frameon=False)
plt.show()

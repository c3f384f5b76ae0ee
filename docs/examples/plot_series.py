"""
Series: a new pump from old pumps
=================================

Twelve pumps have been recorded second by second, and their faults are marked. Of a new pump there
are 150 seconds, all normal. A fault does not show in a single second: every value stays in its
range, but the flow, smooth before, becomes rough. So each second is judged by the window of seconds
that ends with it.
"""

# %%
# Recordings
# ----------
# Four sensors follow the load, which wanders. Each pump has a level and gains of its own. Faults
# last 30 to 60 seconds.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from sklearn_fsad import ProtoNetDetector, WindowedDetector
from sklearn_fsad.plotting import SeriesDisplay
from sklearn_fsad.series import stretches

SENSORS = ["flow", "current", "pressure", "heat"]


def recording(rng, n_steps, n_faults):
    """Seconds of one pump, and its labels: 1 = faulty."""
    y = np.zeros(n_steps, dtype=int)
    for start in np.linspace(250, n_steps - 80, n_faults).astype(int):
        y[start : start + rng.integers(30, 60)] = 1
    load = 6.0 * gaussian_filter1d(rng.normal(size=(n_steps, 1)), 12.0, axis=0)
    noise = gaussian_filter1d(rng.normal(size=(n_steps, 4)), 1.5, axis=0)
    noise[y == 1, 0] = rng.normal(scale=noise[:, 0].std(), size=y.sum())  # as large, but rough
    X = load * [1.0, 0.8, 0.5, 0.2] + noise
    X = rng.normal(scale=5.0, size=4) + rng.uniform(0.8, 1.25, size=4) * X
    times = pd.date_range("2026-03-01 06:00", periods=n_steps, freq="s")
    return pd.DataFrame(X, columns=SENSORS, index=times), y


rng = np.random.default_rng(2)
old_pumps = [recording(rng, 600, 3) for _ in range(12)]
X, y = recording(rng, 900, 4)

# %%
# Rows, windows, and windows with a past
# --------------------------------------
# The same detector judges each second alone; each second by its window; and each window after
# learning from the old pumps how windows vary when nothing is wrong, and how faults change them.
# All three are fitted to the first 150 seconds of the new pump. Their windows overlap and are worth
# eight independent ones: too few for the default of ``alpha``, a rate of 5 % false alarms.

detectors = {
    "rows": ProtoNetDetector(),
    "windows": WindowedDetector(ProtoNetDetector(), alpha=0.2),
    "windows, meta-fitted": WindowedDetector(ProtoNetDetector(random_state=0), alpha=0.2).meta_fit(
        old_pumps
    ),
}
for name, detector in detectors.items():
    auc = detector.fit(X[:150]).score(X[150:], y[150:])
    print(f"{name:22}ROC AUC {auc:.2f}")
print(detector.n_independent_, "independent windows")

# %%
# The flow, and the scores of the three. Faults are shaded.

fig, axes = plt.subplots(4, 1, figsize=(8, 7.5), sharex=True, layout="constrained")
axes[0].plot(X["flow"], lw=1)
axes[0].set_title("flow")
for ax, (name, detector) in zip(axes[1:], detectors.items(), strict=True):
    SeriesDisplay.from_estimator(detector, X, y, name=name, ax=ax)
    ax.set_xlabel("")
plt.show()

# %%
# Which stretches to look at
# --------------------------
# Flagged seconds that lie close together are one stretch. The four most anomalous ones hold the
# four faults, and blame the flow; the others are false alarms.

found = stretches(detector, X, n=6)
shown = found[["n_steps", "anomaly_score", "p_value", "column_1"]].round(2)
shown.insert(0, "start", found["start"].dt.time)
shown.insert(1, "end", found["end"].dt.time)
print(shown.to_string(index=False))

# %%
# The same as a picture, with two of the sensors.

SeriesDisplay.from_estimator(detector, X, y, channels=["flow", "current"])
plt.show()

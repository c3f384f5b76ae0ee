"""
Sensors: a new pump from old pumps
==================================

Twelve pumps have been running for a while, and it is known of each when it was faulty. A new pump
has its own level and its own sensors' gains; only a few minutes of it have been recorded, all of
them fine. What the old pumps teach is not what this pump looks like but in which ways pumps vary
when nothing is wrong, and in which they fail.
"""

# %%
# Recordings
# ----------
# Six sensors that follow load and temperature. A healthy pump varies much, but along these two; a
# clogged one needs more current at less flow, by little compared with what load does to both.

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.iforest import IForest
from pyod.models.knn import KNN

from sklearn_fsad import InContextDetector, ProtoNetDetector, PyODDetector

SENSORS = ["current", "flow", "pressure", "vibration", "temperature", "voltage"]
LOAD = np.array([2.0, 3.0, 2.5, 0.5, 1.0, 0.1])
HEAT = np.array([0.2, 0.0, 0.1, 0.3, 2.0, 0.1])
CLOGGED = np.array([0.6, -0.6, 0.3, 0.1, 0.0, 0.0])


def new_pump(rng, n_healthy=90, n_faulty=30):
    """Readings of one pump in the order of time, and whether it was faulty (1)."""
    n = n_healthy + n_faulty
    y = np.zeros(n, dtype=int)
    start = rng.integers(n_healthy // 2, n_healthy)
    y[start : start + n_faulty] = 1
    wander = np.cumsum(rng.normal(scale=0.3, size=(n, 2)), axis=0)  # load and heat drift
    wander -= wander.mean(axis=0)
    X = wander[:, :1] * LOAD + wander[:, 1:] * HEAT + rng.normal(scale=0.25, size=(n, 6))
    X += y[:, None] * CLOGGED * rng.uniform(0.8, 1.2)
    return rng.normal(scale=20.0, size=6) + rng.uniform(0.8, 1.25, size=6) * X, y


rng = np.random.default_rng(0)
old_pumps = [new_pump(rng) for _ in range(12)]

# %%
# Learn from the old pumps
# ------------------------

detectors = {
    "ProtoNetDetector, meta-fitted": ProtoNetDetector(
        episodes_per_epoch=120, random_state=0
    ).meta_fit(old_pumps),
    "ProtoNetDetector, closed form": ProtoNetDetector(),
    "InContextDetector, as it comes": InContextDetector(),
    "PyOD KNN": PyODDetector(KNN()),
    "PyOD IForest": PyODDetector(IForest(random_state=0)),
}

# %%
# Twenty readings of a new one
# ----------------------------
# All healthy. The same for six new pumps, and the mean over them.

aucs = {name: [] for name in detectors}
for _ in range(6):
    X, y = new_pump(rng)
    support = rng.permutation(np.flatnonzero(y == 0))[:20]
    rest = np.setdiff1d(np.arange(len(y)), support)
    for name, detector in detectors.items():
        aucs[name].append(detector.fit(X[support]).score(X[rest], y[rest]))
for name, found in aucs.items():
    print(f"{name:32}{np.mean(found):.3f}")

# %%
# One of them as a picture
# ------------------------
# Current and flow wander with the load, and hardly show the fault. The score does.

detector = detectors["ProtoNetDetector, meta-fitted"].fit(X[support])
scores = detector.decision_function(X)

fig, (top, bottom) = plt.subplots(2, 1, figsize=(8, 4.4), sharex=True, layout="constrained")
for sensor in ("current", "flow"):
    values = X[:, SENSORS.index(sensor)]
    top.plot(values - values.mean(), lw=1, label=sensor)
top.legend(frameon=False, ncols=2)
top.set(ylabel="reading, centred")
bottom.plot(scores, color="black", lw=1)
bottom.axhline(0.0, color="C3", lw=0.8, ls="--")
bottom.set(ylabel="decision_function", xlabel="minute")
for ax in (top, bottom):
    faulty = np.flatnonzero(y)
    ax.axvspan(faulty[0], faulty[-1], color="C3", alpha=0.12, lw=0)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

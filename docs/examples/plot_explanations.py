"""
Which column is off?
====================

Two detectors say how much each column adds to the anomaly score of a row: ``InContextDetector``, by
how much less anomalous the row is with the value of its nearest normal row, and
``NeuralProcessDetector``, by how unlikely each value is given the others. Contributions add up to
the score.
"""

# %%
# Rows whose columns belong together
# ----------------------------------
# A motor: current, torque and temperature follow the load, humidity follows nothing.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_fsad import InContextDetector, NeuralProcessDetector

rng = np.random.default_rng(0)


def readings(n):
    """Normal rows."""
    load = rng.uniform(0.5, 2.0, size=n)
    return pd.DataFrame(
        {
            "current": 4.0 * load + rng.normal(scale=0.15, size=n),
            "torque": 2.0 * load + rng.normal(scale=0.1, size=n),
            "temperature": 30.0 + 12.0 * load + rng.normal(scale=1.0, size=n),
            "humidity": rng.normal(50.0, 8.0, size=n),
        }
    )


support = readings(80)
odd = readings(3)
odd.loc[0, "humidity"] = 110.0  # out of range
odd.loc[1, ["current", "torque"]] = [7.0, 1.6]  # in range, but not together
odd.loc[2, "temperature"] = 75.0  # far too hot
names = ["humid", "torque lost", "too hot"]

# %%
# Who says what
# -------------
# The row whose torque is lost is nothing special in any single column. The neural process knows
# what torque to expect at such a current and temperature.

detectors = [InContextDetector(), NeuralProcessDetector(max_epochs=0)]
fig, axes = plt.subplots(2, 3, figsize=(9, 4.4), sharey=True, layout="constrained")
for row, detector in zip(axes, detectors, strict=True):
    detector.fit(support)
    parts = detector.feature_scores(odd)
    assert np.allclose(parts.sum(axis=1), -detector.score_samples(odd))
    for ax, name, part in zip(row, names, parts, strict=True):
        colors = ["C3" if value == part.max() else "0.75" for value in part]
        ax.barh(support.columns, part, color=colors)
        ax.set(title=f"{name} ({type(detector).__name__.removesuffix('Detector')})")
        ax.axvline(0, color="black", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    print(type(detector).__name__, detector.predict(odd))
    print(pd.DataFrame(parts, index=names, columns=support.columns).round(1), "\n")
plt.show()

# %%
# Expected values
# ---------------
# The neural process also says what it expected in place of what it saw.

mean, std = (part[1, 1] for part in detectors[1].predict_distribution(odd))
print(f"torque of the second row: {odd.loc[1, 'torque']}, expected {mean:.2f} +- {std:.2f}")

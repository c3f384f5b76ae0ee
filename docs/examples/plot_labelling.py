"""
Which row to label next
=======================

An expert has time for a few labels. The rows of the highest scores are often anomalies of a kind
that is known by then: each further label of that kind teaches little. ``query`` asks about high
scores of kinds that are not known. Here both are compared, with rows drawn at random.
"""

# %%
# A pool with three kinds of faults
# ---------------------------------
# Made data: the frequent fault is far from all normal rows, the two rare ones are closer to them.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad.plotting import LabelCurveDisplay

N_FEATURES = 6
KINDS = {"frequent": (24, 7.0), "rare": (8, 4.5), "rarer": (8, 4.0)}  # rows, and how far out


def made_task(seed):
    """Return rows, labels and kinds: 300 normal rows and 40 faults of three kinds."""
    rng = np.random.default_rng(seed)
    parts, kinds = [rng.normal(size=(300, N_FEATURES))], ["normal"] * 300
    for kind, (n, distance) in KINDS.items():
        direction = rng.normal(size=N_FEATURES)
        direction *= distance / np.linalg.norm(direction)
        parts.append(direction + rng.normal(scale=0.4, size=(n, N_FEATURES)))
        kinds += [kind] * n
    kinds = np.array(kinds)
    return np.concatenate(parts), (kinds != "normal").astype(int), kinds


# %%
# Ask, answer, ask again
# ----------------------
# The detector begins with 30 normal rows. ``query`` returns the position of the row to show;
# ``partial_fit`` takes the answer. The whole pool is given each time: rows that the detector has
# been told about are not asked about again, and tell what to look for elsewhere.

X, y, kinds = made_task(0)
pool = np.arange(30, len(X))
for strategy in ("top", "auto"):
    detector = ProtoNetDetector(outlier_label=1).fit(X[:30])
    asked = []
    for _ in range(10):
        row = pool[detector.query(X[pool], strategy=strategy)]
        detector.partial_fit(X[row], y[row])
        asked.append(str(kinds[row][0]))
    print(f"{strategy}: {', '.join(asked)}")

# %%
# Quality against labels
# ----------------------
# On six such tables, tested on rows that are not in the pool. One label of the frequent fault makes
# the detector look for that kind alone, and the rare ones drop in the ranking. Labels of other
# faults and of odd normal rows bring them back; more labels of the same fault do not.

tasks = [made_task(seed)[:2] for seed in range(1, 7)]
LabelCurveDisplay.from_estimator(
    ProtoNetDetector(),
    tasks,
    strategies=("auto", "top", "random"),
    n_normal=30,
    n_labels=12,
    n_draws=1,
    random_state=0,
)
plt.show()

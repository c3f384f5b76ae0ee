"""
Quickstart: a new digit from ten examples
=========================================

The handwritten digits of scikit-learn, one task per digit: that digit is normal, all others are
anomalies. A detector meta-learns on seven digits, then adapts to each of the three others from 10
normal and 3 anomalous images. Beside it: PyOD's KNN and isolation forest, balanced logistic
regression and a random forest, all fitted to the same 13 images.
"""

# %%
# Tasks
# -----
# Half of the images teach, the other half tests: no image is on both sides, and the three new
# digits are not even among the anomalies of the training tasks.

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import FewShotSplit, ProtoNetDetector, PyODDetector
from sklearn_fsad.metrics import anomaly_scorers

OLD, NEW = range(7), range(7, 10)

X, digit = load_digits(return_X_y=True)
X_old, X_new, digit_old, digit_new = train_test_split(
    X, digit, test_size=0.5, stratify=digit, random_state=0
)
X_old, digit_old = X_old[digit_old < 7], digit_old[digit_old < 7]
tasks = {d: (X_old, (digit_old != d).astype(int)) for d in OLD}

# %%
# Learn across the seven tasks
# ----------------------------

detector = ProtoNetDetector(outlier_label=1, random_state=0, verbose=1).meta_fit(tasks)
print(detector.pretrained)

# %%
# Adapt to three new ones and compare
# -----------------------------------
# Ten supports per digit. The scorers take the anomaly as the positive class for every library; F1
# is that of each detector's own threshold.

detectors = {
    "ProtoNetDetector, meta-fitted": detector,
    "ProtoNetDetector, closed form": ProtoNetDetector(),
    "PyOD KNN": PyODDetector(KNN()),
    "PyOD IForest": PyODDetector(IForest(random_state=0)),
    "logistic regression": make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced")
    ),
    "random forest": RandomForestClassifier(class_weight="balanced", random_state=0),
}
scorers = anomaly_scorers("roc_auc", "average_precision", "f1")
few_shot = FewShotSplit(n_normal=10, n_anomalous=3, n_draws=10, random_state=0)

scores = {name: [] for name in detectors}
for d in NEW:
    y = (digit_new != d).astype(int)
    for support, query in few_shot.split(X_new, y):
        for name, model in detectors.items():
            fitted = clone(model).fit(X_new[support], y[support])
            scores[name].append([s(fitted, X_new[query], y[query]) for s in scorers.values()])

print(
    f"\nDigits 7, 8 and 9 from 10 normal and 3 anomalous images, mean of {len(scores[name])} draws"
)
print(f"{'':32}{'ROC AUC':>9}{'AP':>9}{'F1':>9}")
for name, rows in scores.items():
    auc, ap, f1 = np.mean(rows, axis=0)
    print(f"{name:32}{auc:9.3f}{ap:9.3f}{f1:9.3f}")

# %%
# The same as a picture
# ---------------------

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
names = list(scores)[::-1]
aucs = [np.array(scores[name])[:, 0] for name in names]
colors = ["C1" if name.startswith("ProtoNet") else "0.7" for name in names]
ax.barh(names, [a.mean() for a in aucs], color=colors)
ax.errorbar(
    [a.mean() for a in aucs], names, xerr=[a.std() for a in aucs], fmt="none", color="black", lw=1
)
ax.set(xlim=(0.5, 1.0), xlabel="ROC AUC on a new digit, mean and spread over draws")
ax.spines[["top", "right"]].set_visible(False)
target = Path("quickstart.png")
fig.savefig(target, dpi=150)
print(f"\nFigure saved to {target.resolve().name}")

"""
Beside PyOD, and together with it
=================================

``PyODDetector`` brings PyOD's detectors into scikit-learn's comparisons, ``to_pyod`` brings ours
into PyOD's ensembles. Both turn the signs, which differ.
"""

# %%
# One comparison for both libraries
# ---------------------------------
# Breast cancer data: benign samples are normal. Each support has 20 normal and 3 anomalous rows;
# those who cannot use labels look at all 23.

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.combination import average, maximization
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.utils.utility import standardizer
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import (
    FewShotSplit,
    InContextDetector,
    ProtoNetDetector,
    PyODDetector,
    anomaly_scorer,
    to_pyod,
)

X, benign = load_breast_cancer(return_X_y=True)
y = 1 - benign

detectors = {
    "InContextDetector": InContextDetector(random_state=0),
    "ProtoNetDetector": ProtoNetDetector(),
    "PyOD KNN": make_pipeline(StandardScaler(), PyODDetector(KNN())),
    "PyOD LOF": make_pipeline(StandardScaler(), PyODDetector(LOF(n_neighbors=10))),
    "PyOD IForest": PyODDetector(IForest(random_state=0)),
}
split = FewShotSplit(n_normal=20, n_anomalous=3, n_draws=6, n_query=200, random_state=0)
scores = {
    name: cross_validate(d, X, y, cv=split, scoring=anomaly_scorer("roc_auc"))["test_score"]
    for name, d in detectors.items()
}

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for i, (name, values) in enumerate(reversed(scores.items())):
    ax.scatter(values, np.full(len(values), i), s=14, color="0.7")
    ax.scatter(values.mean(), i, s=50, color="C0" if "PyOD" in name else "C1", zorder=3)
    print(f"{name:20}{values.mean():.3f}")
ax.set(yticks=range(len(scores)), yticklabels=list(scores)[::-1], xlabel="ROC AUC, six supports")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# One ensemble of both libraries
# ------------------------------
# PyOD's detectors have ``decision_scores_`` of their training rows, larger = more anomalous, and
# ``labels_`` of 0 and 1. Ours now has them too, so PyOD's functions can combine it with others.

normal = np.flatnonzero(y == 0)
train, test = normal[:60], np.setdiff1d(np.arange(len(y)), normal[:60])
scaler = StandardScaler().fit(X[train])
Z_train, Z_test = scaler.transform(X[train]), scaler.transform(X[test])

members = {
    "InContextDetector": to_pyod(InContextDetector(random_state=0), contamination=0.05),
    "PyOD KNN": KNN(contamination=0.05),
    "PyOD LOF": LOF(contamination=0.05),
}
for model in members.values():
    model.fit(Z_train)
on_train = np.column_stack([model.decision_scores_ for model in members.values()])
on_test = np.column_stack([model.decision_function(Z_test) for model in members.values()])
_, unified = standardizer(on_train, on_test)

for name, column in zip(members, unified.T, strict=True):
    print(f"{name:20}{roc_auc_score(y[test], column):.3f}")
print(f"{'average of three':20}{roc_auc_score(y[test], average(unified)):.3f}")
print(f"{'maximum of three':20}{roc_auc_score(y[test], maximization(unified)):.3f}")

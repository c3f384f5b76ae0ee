"""
Pipelines and grid search, at both levels
=========================================

What is there to tune? Things that a fit to a few rows depends on, and things that meta-training
depends on. The first are searched inside a task, with ``FewShotSplit``; the second across tasks,
where a sample of the search is a task. A pipeline learns its preprocessing across tasks too.
"""

# %%
# Tasks
# -----
# Wine, each of whose three cultivars is normal once, twice over: on two halves of the rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_fsad import (
    FewShotSplit,
    InContextDetector,
    ProtoNetDetector,
    TaskEstimator,
    anomaly_scorer,
    meta_fit_pipeline,
)

X, cultivar = load_wine(return_X_y=True)
half = np.arange(len(X)) % 2
tasks = [
    (X[half == h], (cultivar[half == h] != c).astype(int))
    for h in (0, 1)
    for c in np.unique(cultivar)
]

# %%
# Inside a task
# -------------
# Which threshold, if F1 is what counts? The splitter trains on 12 normal and 2 anomalous rows and
# tests on the others. ``refit=False``, since refitting would use all rows.

X_new, y_new = tasks[-1]
search = GridSearchCV(
    InContextDetector(alpha=0.1),
    {"threshold": ["auto", "conformal", "f1"]},
    scoring=anomaly_scorer("f1"),
    cv=FewShotSplit(n_normal=12, n_anomalous=2, n_draws=4, random_state=0),
    refit=False,
).fit(X_new, y_new)
print(search.best_params_, search.cv_results_["mean_test_score"].round(3))

# %%
# Across tasks
# ------------
# ``TaskEstimator`` meta-trains on some tasks and is scored on others: few-shot, each from 10 normal
# and 2 anomalous rows. ``KFold`` without shuffling holds neighbours in the list out together.

detector = ProtoNetDetector(
    outlier_label=1,
    n_normal=(5, 15),
    n_anomalous=(0, 5),
    episodes_per_epoch=48,
    max_epochs=50,
    random_state=0,
)
few_shot = FewShotSplit(n_normal=10, n_anomalous=2, n_draws=4, on_short="skip", random_state=0)
grid = {"detector__evidence": [None, "support", ["nearest_scaled"]]}
search = GridSearchCV(TaskEstimator(detector, splitter=few_shot), grid, cv=KFold(2)).fit(tasks)

names = ["all evidence", "of the support", "nearest normals"]
means, spreads = (search.cv_results_[f"{kind}_test_score"] for kind in ("mean", "std"))
fig, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
colors = ["C1" if i == search.best_index_ else "0.75" for i in range(len(names))]
ax.barh(names[::-1], means[::-1], xerr=spreads[::-1], color=colors[::-1])
ax.set(xlim=(0.5, 1.0), xlabel="few-shot ROC AUC on held-out tasks, mean and spread over folds")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Preprocessing that is learned on tasks
# --------------------------------------
# A PCA of ten rows is of no use. ``meta_fit_pipeline`` fits it on all tasks and freezes it; the
# scaler before it is fitted anew in each task.

pipe = make_pipeline(StandardScaler(), PCA(5), detector)
pipe = meta_fit_pipeline(pipe, tasks[:-1], per_task=["standardscaler"])
normal = np.flatnonzero(y_new == 0)
rest = np.setdiff1d(np.arange(len(y_new)), normal[:10])
pipe.fit(X_new[normal[:10]])
print(f"ROC AUC from ten normal rows: {pipe.score(X_new[rest], y_new[rest]):.3f}")

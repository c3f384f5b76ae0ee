"""
Compare detectors on held-out tasks
===================================

Which of four detectors is better on new tasks of a family, and is the difference more than chance?
Every detector is fitted to the same few rows of each task and scored on the same others.
"""

# %%
# Ten related tasks. The prototypes are meta-fitted on the tasks of the other folds; the others see
# a support only. PyOD's detectors and scikit-learn's are fitted to its normals.
from pyod.models.knn import KNN
from sklearn.ensemble import IsolationForest

from sklearn_fsad import InContextDetector, ProtoNetDetector
from sklearn_fsad.datasets import make_related_tasks
from sklearn_fsad.model_selection import compare
from sklearn_fsad.plotting import CriticalDifferenceDisplay

tasks = make_related_tasks(10, random_state=0)
detectors = {
    "prototypes": ProtoNetDetector(n_normal=(5, 20), n_anomalous=(0, 5)),
    "in context": InContextDetector(),
    "nearest": KNN(n_neighbors=1),
    "forest": IsolationForest(n_estimators=50),
}
found = compare(
    detectors,
    tasks,
    shots=[(10, 0), (10, 3)],
    without_meta_fit=["in context"],
    n_draws=2,
    random_state=0,
)
print(found)

# %%
# The signed-rank test of each detector against the one of the best mean, corrected by Holm, and
# how often each was the best.
print(found.wilcoxon("roc_auc"))
print(found.wins("roc_auc"))

# %%
# Mean ranks over tasks. A bar joins detectors whose difference is not significant.
_ = CriticalDifferenceDisplay.from_comparison(found, "roc_auc")

# %%
# The table for a paper: the best of each column is bold, the second underlined.
print(found.to_latex())

"""
What to look at: five displays
==============================

From meta-training to a single alarm, each question has a display: did meta-training help, how many
shots are enough, where do support and anomalies lie, does the threshold sit well, and which column
made a row anomalous. They work like scikit-learn's: ``from_estimator``, or ``from_predictions``
if the numbers are already computed.
"""

# %%
# Tasks
# -----
# Made ones: normal rows of all tasks vary along the same two directions, and anomalies leave
# elsewhere. Twelve tasks teach, four are new.

import matplotlib.pyplot as plt
from pyod.models.knn import KNN

from sklearn_fsad import FewShotSplit, NeuralProcessDetector, ProtoNetDetector, PyODDetector
from sklearn_fsad.datasets import make_related_tasks
from sklearn_fsad.plotting import (
    AnomalyScoreDisplay,
    EmbeddingDisplay,
    FeatureScoreDisplay,
    MetaTrainingDisplay,
    ShotCurveDisplay,
)

tasks = make_related_tasks(16, n_normal=80, n_anomalous=30, random_state=0)
old, new = tasks.subset(range(12)), tasks.subset(range(12, 16))

# %%
# Did meta-training help?
# -----------------------
# The loss of each epoch, and how tasks that were held out fared with what was learned from the
# others.

detector = ProtoNetDetector(episodes_per_epoch=120, random_state=0).meta_fit(old)
MetaTrainingDisplay.from_estimator(detector)
plt.show()

# %%
# How many shots are enough?
# --------------------------
# On the new tasks, beside the same detector without meta-training and PyOD's KNN.

detectors = {
    "meta-fitted": detector,
    "closed form": ProtoNetDetector(),
    "PyOD KNN": PyODDetector(KNN()),
}
ShotCurveDisplay.from_estimator(
    detectors, new, varied="n_normal", shots=(5, 10, 20, 40), n_other=2, random_state=0
)
plt.show()

# %%
# Where do support and anomalies lie?
# -----------------------------------
# One new task, twenty normal rows and three anomalies of it as the support, in the space in which
# distances are taken.

X, y = new[0].X, new[0].y
support, query = next(FewShotSplit(20, 3, random_state=0).split(X, y))
detector.fit(X[support], y[support])
EmbeddingDisplay.from_estimator(detector, X[query], y[query])
plt.show()

# %%
# Does the threshold sit well?
# ----------------------------

AnomalyScoreDisplay.from_estimator(detector, X[query], y[query])
plt.show()

# %%
# Which column made a row anomalous?
# ----------------------------------
# The most anomalous new row: the neural process predicts each column from the others, and scores
# how far off it is.

process = NeuralProcessDetector(max_epochs=0).fit(X[support], y[support])
worst = query[process.score_samples(X[query]).argmin()]
FeatureScoreDisplay.from_estimator(process, X[worst : worst + 1])
plt.show()

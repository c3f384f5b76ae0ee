"""
Product defects: five photographs of a new product
==================================================

Photographs of products go through a network that was trained on other images, and come out as
embeddings. Of nine products good and defective ones are known. A tenth product line starts: ten
good photographs, and then one defect after the other turns up. How soon do labelled defects help?

The embeddings here are made, so that the example runs anywhere; they share what makes real ones
hard: good parts of a product vary along directions of their own, and defects are small beside that.
"""

# %%
# Embeddings of products
# ----------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

from sklearn_fsad import FewShotSplit, ProtoNetDetector, anomaly_scorer

D = 96
rng = np.random.default_rng(0)
SHARED = np.linalg.qr(rng.normal(size=(D, 24)))[0]  # light, pose: how all products vary
WEAR = np.linalg.qr(rng.normal(size=(D, 6)))[0]  # what scratches and dents look like


def new_product(rng, n_good=80, n_defective=30):
    """Embeddings of photographs of one product, and which are defective (1)."""
    own = np.linalg.qr(rng.normal(size=(D, 10)))[0]
    n = n_good + n_defective
    y = np.repeat([0, 1], [n_good, n_defective])
    X = rng.normal(size=D) + rng.normal(scale=1.2, size=(n, 24)) @ SHARED.T
    X += rng.normal(scale=1.2, size=(n, 10)) @ own.T + rng.normal(scale=0.3, size=(n, D))
    kind = WEAR[:, rng.choice(6, size=2, replace=False)]  # a product has two kinds of defect
    X[y == 1] += rng.exponential(2.0, size=(n_defective, 2)) @ kind.T
    return X, y


products = {f"product {i}": new_product(rng) for i in range(9)}

# %%
# Learn across products
# ---------------------

detector = ProtoNetDetector(episodes_per_epoch=90, random_state=0).meta_fit(products)
print(detector.pretrained)

# %%
# One defect after the other
# --------------------------
# ``FewShotSplit`` draws the supports. A support with more defects contains the one with fewer, so
# that the curves differ by the labels alone.

roc_auc = anomaly_scorer("roc_auc")  # the anomaly is positive for every library
SHOTS = (0, 1, 2, 5, 10)
methods = {
    "meta-fitted": detector,
    "not meta-fitted": ProtoNetDetector(),
    "logistic regression": LogisticRegression(class_weight="balanced", C=0.1, max_iter=500),
}
curves = {name: np.full((len(SHOTS), 8), np.nan) for name in methods}
new = [new_product(rng) for _ in range(4)]
for i, k in enumerate(SHOTS):
    split = FewShotSplit(n_normal=10, n_anomalous=k, n_draws=2, random_state=0)
    draws = [(X, y, *rows) for X, y in new for rows in split.split(X, y)]
    for j, (X, y, support, query) in enumerate(draws):
        for name, method in methods.items():
            if k == 0 and name == "logistic regression":
                continue  # it needs both classes
            method.fit(X[support], y[support])
            curves[name][i, j] = roc_auc(method, X[query], y[query])

# %%
# As a picture
# ------------

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for (name, values), color in zip(curves.items(), ("C1", "C0", "0.6"), strict=True):
    mean = values.mean(axis=1)
    error = values.std(axis=1) / np.sqrt(values.shape[1])
    ax.errorbar(range(len(SHOTS)), mean, error, label=name, color=color, marker="o", capsize=3)
    print(f"{name:22}", *(f"{m:.3f}" for m in mean))
ax.set(xticks=range(len(SHOTS)), xticklabels=SHOTS, xlabel="labelled defects, beside 10 good parts")
ax.set(ylabel="ROC AUC on a new product")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

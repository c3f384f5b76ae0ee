"""
A neural process on functions
=============================

The textbook use of a neural process: each task is a function, a few points of it are seen, and the
rest is predicted with its uncertainty. The conditional neural process sums the points up in one
vector; the transformer compares each place with each point, and so passes through what it has seen.
"""

# %%
# Functions
# ---------
# Draws of a Gaussian process, whose exact prediction is known: what there is to reach.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_fsad import NeuralProcessDetector

NOISE = 0.1
kernel = RBF(length_scale=0.7) + WhiteKernel(NOISE**2)
exact = GaussianProcessRegressor(kernel, optimizer=None)
rng = np.random.default_rng(0)


def new_function(n=40):
    """Points of one function: columns x and y."""
    x = rng.uniform(-2, 2, size=(n, 1))
    return np.hstack([x, exact.sample_y(x, random_state=int(rng.integers(2**31)))])


past = [new_function() for _ in range(150)]

# %%
# Two kinds
# ---------
# ``target_features`` says that the second column is to be predicted from the first. Training is
# short here; more of it brings both closer to the exact process.

kinds = {
    kind: NeuralProcessDetector(
        kind=kind,
        target_features=[1],
        gate=False,
        n_normal=(2, 20),
        n_query=20,
        max_epochs=epochs,
        episodes_per_epoch=160,
        batch_size=16,
        random_state=0,
    ).meta_fit(past)
    for kind, epochs in (("cnp", 40), ("tnp", 25))
}

# %%
# A new function
# --------------
# Six points are seen. One more at x = 0.5 is far from the curve: an anomaly, although its value is
# ordinary elsewhere.

seen = new_function(6)
grid = np.column_stack([np.linspace(-2, 2, 120), np.zeros(120)])
truth_mean, truth_std = exact.fit(seen[:, :1], seen[:, 1]).predict(grid[:, :1], return_std=True)
even = np.array([[0.5, np.interp(0.5, grid[:, 0], truth_mean)]])
odd = even + [0.0, 1.5]

fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
predictions = {"exact Gaussian process": (truth_mean, truth_std)}
for kind, detector in kinds.items():
    mean, std = detector.fit(seen).predict_distribution(grid)
    predictions[f'kind="{kind}"'] = mean[:, 0], std[:, 0]
    scores = detector.score_samples(np.concatenate([odd, even])).round(2)
    print(f"{kind}: score of the odd point {scores[0]}, of one on the curve {scores[1]}")
for ax, (name, (mean, std)) in zip(axes, predictions.items(), strict=True):
    ax.plot(grid[:, 0], mean, color="C0")
    ax.fill_between(grid[:, 0], mean - 2 * std, mean + 2 * std, color="C0", alpha=0.2, lw=0)
    ax.scatter(*seen.T, color="black", s=20, zorder=3, label="seen")
    ax.scatter(*odd.T, color="C3", marker="X", s=45, zorder=3, label="odd")
    ax.set(title=name, xlabel="x")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set(ylabel="y")
axes[0].legend(frameon=False)
plt.show()

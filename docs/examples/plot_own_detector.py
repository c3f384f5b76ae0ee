"""
A detector of your own in one file
==================================

What all detectors share, such as labels, thresholds, p-values, blockwise scoring, saving and
cloning, is in one base class. A method is the rest: a torch module that adapts to a support and
scores rows, and a small estimator that trains it. Here is one, complete: the density of the normal
rows by Gaussian kernels, whose widths, one for each column, are learned across tasks.
"""

# %%
# The module
# ----------
# ``adapt`` turns a support into a state, a dict of tensors; ``score`` judges rows by it, larger =
# more anomalous. Both work over leading dimensions, so that a batch of tasks in training and one
# task at ``fit`` run the same code. Supports of a batch are padded: label 0 marks normal rows, 1
# anomalies, -1 padding.

from typing import Any, ClassVar

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from sklearn_fsad import MetaState
from sklearn_fsad._detectors.base.detector import BaseFewShotDetector
from sklearn_fsad._stats.scaling import ScaledSupport
from sklearn_fsad._training.batches import EpisodeDataset
from sklearn_fsad._training.loop import train_episodic
from sklearn_fsad._training.losses import PairwiseLoss
from sklearn_fsad.tasks._episodes import scaled_episode


class KernelDensity(nn.Module):
    """Negative log density by Gaussian kernels on the normals of the support."""

    def __init__(self, log_weights):
        super().__init__()
        self.log_weights = nn.Parameter(torch.tensor(log_weights))  # (d,): one over squared widths

    def adapt(self, X, y):
        """What to remember of a support: (..., n, d), (..., n)."""
        return {"rows": X, "normal": y == 0}

    def score(self, state, X):
        """Score rows: (..., m, d) -> (..., m)."""
        gap = X.unsqueeze(-2) - state["rows"].unsqueeze(-3)  # (..., m, n, d)
        distance = (gap.square() * self.log_weights.exp()).sum(-1)  # (..., m, n)
        distance = distance.masked_fill(~state["normal"].unsqueeze(-2), torch.inf)
        return -torch.logsumexp(-distance, -1)

    def forward(self, support_X, support_y, query_X):
        """Scores of queries."""
        return self.score(self.adapt(support_X, support_y), query_X)


# %%
# The estimator
# -------------
# Four methods: what ``meta_fit`` learns, what there is without it, the module of a state, and how a
# support describes rows to the module (here: scaled by its own mean and spread). What is learned is
# a ``MetaState`` of numpy arrays.


class KernelDensityDetector(BaseFewShotDetector):
    """Density of the normals by kernels whose widths are learned across tasks."""

    _parameter_constraints: ClassVar[dict[str, Any]] = BaseFewShotDetector._parameter_constraints

    def __init__(
        self,
        *,
        n_normal=(5, 50),
        n_anomalous=(0, 0),
        n_query=60,
        support_contamination=0.0,
        max_epochs=10,
        episodes_per_epoch=100,
        batch_size=16,
        lr=0.1,
        clean_support=False,
        threshold="auto",
        alpha=0.05,
        contamination="auto",
        outlier_label="auto",
        pretrained=None,
        device="cpu",
        net_params=None,
        callbacks=None,
        verbose=0,
        random_state=None,
    ):
        self.n_normal = n_normal
        self.n_anomalous = n_anomalous
        self.n_query = n_query
        self.support_contamination = support_contamination
        self.max_epochs = max_epochs
        self.episodes_per_epoch = episodes_per_epoch
        self.batch_size = batch_size
        self.lr = lr
        self.clean_support = clean_support
        self.threshold = threshold
        self.alpha = alpha
        self.contamination = contamination
        self.outlier_label = outlier_label
        self.pretrained = pretrained
        self.device = device
        self.net_params = net_params
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state

    def _meta_train(self, tasks, seed):
        sampler, d = self._sampler(tasks, seed), tasks.one_feature_space()

        def draw(epoch, i):
            return scaled_episode(sampler.episode(epoch, i), "task", None)

        module, history = train_episodic(
            KernelDensity(np.zeros(d, dtype=np.float32)),
            EpisodeDataset(draw, self.episodes_per_epoch),
            None,
            self._net_settings(lr=0.1, seed=seed).with_defaults(
                criterion=PairwiseLoss, optimizer=torch.optim.Adam
            ),
        )
        arrays = {"log_weights": module.log_weights.detach().double().numpy()}
        info = {"n_tasks": tasks.n_tasks, "history": history}
        names = tasks.feature_names_in
        return MetaState(type(self).__name__, {}, arrays, d, names, info)

    def _untrained_state(self, X, y):
        d = X.shape[1]
        return MetaState(type(self).__name__, {}, {"log_weights": np.zeros(d)}, d)

    def _module(self, state):
        return KernelDensity(state.arrays["log_weights"])

    def _represent(self, X, y, state):
        return ScaledSupport(X, y, "task")


# %%
# It works
# --------
# Tasks of eight columns, of which two matter. Before ``meta_fit`` all eight count alike.


def make_task(rng, n_normal=80, n_anomalous=20):
    """Anomalies leave along the first two of eight columns, each task about its own level."""
    y = np.array([0] * n_normal + [1] * n_anomalous)
    X = rng.normal(size=(len(y), 8))
    X[y == 1, :2] += rng.choice([-2.0, 2.0], size=(n_anomalous, 2))
    return X + rng.normal(scale=5.0, size=8), y


rng = np.random.default_rng(0)
learned = KernelDensityDetector(random_state=0).meta_fit([make_task(rng) for _ in range(15)])
plain = KernelDensityDetector()

aucs = {"without meta_fit": [], "with meta_fit": []}
for X, y in (make_task(rng) for _ in range(10)):
    for name, detector in zip(aucs, (plain, learned), strict=True):
        aucs[name].append(detector.fit(X[:15]).score(X[15:], y[15:]))
for name, found in aucs.items():
    print(f"ROC AUC on ten new tasks {name}: {np.mean(found):.3f}")

# %%
# All that the base class brings works at once:

print(learned.p_values(X[-3:]), learned.predict_proba(X[-3:])[:, 0].round(2))
print(learned.set_threshold("conformal", alpha=0.1).predict(X[-3:]))

# %%
# What it has learned
# -------------------

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.bar(range(1, 9), np.exp(learned.pretrained.arrays["log_weights"]), color="C1")
ax.axhline(1.0, color="0.6", lw=0.8, ls="--", label="before meta_fit")
ax.set(xlabel="column", ylabel="weight")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

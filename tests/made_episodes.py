"""Make prepared episodes of small tasks for the tests of meta-training."""

from dataclasses import replace

import numpy as np
import torch

from sklearn_fsad._detectors.maml.episodes import PreparedEpisode
from sklearn_fsad._detectors.maml.inner_loop import GradientAdaptation
from sklearn_fsad._detectors.maml.learners import make_learner
from sklearn_fsad._detectors.maml.training import learn_to_adapt
from sklearn_fsad._training.settings import TrainingSettings
from sklearn_fsad._training.weights import to_arrays
from sklearn_fsad.tasks import Episode

N_FEATURES = 4
QUICK = TrainingSettings(lr=0.03, max_epochs=6, batch_size=9)


def new_module(algorithm="maml"):
    learner = make_learner("classifier", N_FEATURES, 1, (8,), 2, residual=True)
    return GradientAdaptation(learner, algorithm=algorithm, n_steps=2, inner_lr=0.3)


def module_apart(algorithm="maml"):
    """An untrained module in float64 that draws nothing from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_module(algorithm).double().eval()


def weights_of(module):
    """Weights of a network by their names."""
    return to_arrays(module.state_dict(), "")


def same_everywhere(group):
    return 0, 1.0


def of_its_group_alone(group):
    return group, (-1.0) ** group


def prepared_episodes(direction=same_everywhere, *, n_tasks=9, per_task=3, perfect=False):
    """Tasks whose anomalies move one feature; a closed form that is blind to it, or perfect."""
    made = []
    for task in range(n_tasks):
        feature, sign = direction(task % 3)
        for i in range(per_task):
            rng = np.random.default_rng([task, i])
            parts = []
            for n, k in ((10, 5 if i else 0), (15, 15)):
                y = np.repeat([0, 1], [n, k]).astype(np.int8)
                Z = rng.normal(size=(n + k, N_FEATURES + 2))
                Z[:, feature] += sign * 2.0 * y
                Z[:, N_FEATURES] = Z[:, -1] = 9.0 * y if perfect else Z[:, N_FEATURES] + 0.5 * y
                parts += [Z, y]
            episode = Episode(task, *parts)
            made.append(PreparedEpisode(task, episode, parts[2][:, -1]))
    return made


def learned(made, *, augment=False, gate=True, needed=False, seed=0, **given):
    settings = replace(QUICK, seed=seed, **given)
    return learn_to_adapt(
        made, new_module, augment=augment, gate=gate, needed=needed, settings=settings
    )

"""Meta-trainings that several processes share; each process runs this file and keeps its states.

python -m torch.distributed.run --nproc-per-node 2 shared_cases.py folder
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from families import make_family
from sklearn_fsad._training.batches import EpisodeDataset
from sklearn_fsad._training.loop import train_episodic
from sklearn_fsad._training.losses import PairwiseLoss
from sklearn_fsad.tasks._episodes import Episode
from torch import nn

from sklearn_fsad import MAMLDetector, MetaState, ProtoNetDetector
from sklearn_fsad.callbacks import Checkpoint
from sklearn_fsad.exceptions import MetaTrainingDivergedError

SHOTS = {"n_normal": (4, 16), "n_anomalous": (0, 5), "n_query": 30}
ODD = {**SHOTS, "episodes_per_epoch": 11, "max_epochs": 2, "batch_size": 5, "random_state": 0}
# Adam makes steps of rounding where a gradient is zero: for weights to agree, no Adam
PLAIN = {"optimizer": torch.optim.SGD}
NET = {"residual": False, "hidden": (8,), "gate": False, "augment": False}


def detectors(net_params):
    """Detectors whose batches two processes cannot halve."""
    plain = {**PLAIN, **net_params}
    return {
        "mix": ProtoNetDetector(
            evidence=["mahalanobis_raw", "nearest_scaled"], **ODD, net_params=net_params
        ),
        "early stopping": ProtoNetDetector(
            embedding="mlp", hidden=(8,), scaler="task", lr=0.03, **ODD, net_params=plain
        ),
        "adversary": ProtoNetDetector(
            embedding="mlp",
            hidden=(8,),
            scaler="task",
            lr=0.03,
            adversarial_eps=0.3,
            **ODD,
            net_params=plain,
        ),
        "maml": MAMLDetector(lr=0.3, **NET, **ODD, net_params=plain),
        "fomaml, each step": MAMLDetector(
            algorithm="fomaml", multi_step_loss=True, lr=0.3, **NET, **ODD, net_params=plain
        ),
    }


def meta_fitted(detector):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return detector.meta_fit(make_family(5))


class Noisy(nn.Module):
    """Draws as many random numbers as it sees, so that processes draw different numbers of them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, support_X, support_y, query_X):
        return ((query_X + 0.1 * torch.randn_like(query_X)) * self.weight).sum(-1)


def noisy_training(net_params):
    """The weights, and (epoch, index) of the episodes that this process drew."""
    drawn = []

    def draw(epoch, index):
        drawn.append((epoch, index))
        rng = np.random.default_rng([epoch, index])
        X, y = rng.normal(size=(6 + index, 3)), np.arange(6 + index) % 2
        return Episode(0, X[:2], y[:2].astype(np.int8), X, y.astype(np.int8))

    module, _ = train_episodic(
        Noisy(), EpisodeDataset(draw, 7), None, seed=0, criterion=PairwiseLoss, max_epochs=3,
        lr=0.1, batch_size=4, iterator_train__shuffle=True, **net_params,
    )  # fmt: skip
    return module.weight.detach().numpy(), np.array(drawn)


def refusals(net_params):
    """What is raised where the processes would not agree, and where the loss diverges."""
    one = {**ODD, "embedding": "mlp", "scaler": "task", "net_params": net_params}
    cases = {
        "no seed": ProtoNetDetector(**{**one, "random_state": None}),
        "diverges": ProtoNetDetector(**one, lr=1e30),
    }
    raised = {}
    for name, detector in cases.items():
        try:
            meta_fitted(detector)
        except (ValueError, MetaTrainingDivergedError) as error:
            raised[name] = f"{type(error).__name__}: {error}"
    return raised


def main(folder):
    from accelerate import Accelerator

    shared, rank = {"accelerator": Accelerator}, Accelerator().process_index
    generator, n_threads = torch.get_rng_state(), torch.get_num_threads()
    for name, detector in detectors(shared).items():
        meta_fitted(detector).pretrained.save(folder / f"{name} {rank}")
    kept = detectors(shared)["early stopping"].set_params(callbacks=[Checkpoint(folder / "kept")])
    again = meta_fitted(kept).pretrained == meta_fitted(kept).pretrained  # which only reads
    weight, drawn = noisy_training(shared)
    untouched = torch.equal(generator, torch.get_rng_state())
    facts = {
        "refusals": refusals(shared),
        "again": again,
        "untouched": untouched and n_threads == torch.get_num_threads(),
    }
    MetaState("facts", {}, {"weight": weight, "drawn": drawn}, None, info=facts).save(
        folder / f"facts {rank}"
    )
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

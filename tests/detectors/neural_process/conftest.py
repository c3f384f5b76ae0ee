"""Meta-fitted neural processes that several modules ask."""

import pytest
from brief_processes import META
from families import little_work, make_family

from sklearn_fsad import NeuralProcessDetector
from sklearn_fsad._detectors.neural_process.networks import KINDS
from sklearn_fsad.exceptions import AdaptationWarning


@pytest.fixture(scope="session")
def of_kind():
    """A meta-fitted detector of each kind."""
    made = {kind: NeuralProcessDetector(kind=kind, **META, n_latent_samples=4) for kind in KINDS}
    with little_work():
        return {kind: detector.meta_fit(make_family(5)) for kind, detector in made.items()}


@pytest.fixture(scope="session")
def judged():
    """A meta-fitted detector whose past tasks chose what to keep of it, and not its network."""
    told = pytest.warns(AdaptationWarning, match="not clearly better than the default formula")
    with little_work(), told:
        return NeuralProcessDetector(**{**META, "gate": True, "lr": 1e-9}).meta_fit(make_family(5))

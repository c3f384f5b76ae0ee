"""Write states of the present version and the scores that they give.

``PYTHONPATH=tests python tests/golden/make_states.py`` at a release, once: what is there is never
written again. ``tests/golden_states.py`` has to name the version and its detectors before.
"""

import warnings

import numpy as np
from families import QUICK, QUICK_MIX, make_family, new_task
from golden_states import DETECTORS, GOLDEN, KINDS, SHIPPED, fitted, rows, stored

from sklearn_fsad import __version__

BRIEF = {**QUICK, "max_epochs": 4}
TRAINING = {
    "mix": QUICK_MIX,
    "own_model": QUICK_MIX,
    "mlp": QUICK,
    "maml": {**QUICK, "hidden": (16,)},
    "neural_process": {**BRIEF, "embedding_dim": 8, "gate": False},
    "in_context": {**QUICK, "max_epochs": 1},
}


def main():
    """Train the detectors, save their states, and the scores that these give."""
    warnings.simplefilter("ignore")
    folder = GOLDEN / __version__
    folder.mkdir()
    for name, make in DETECTORS[__version__].items():
        if name not in SHIPPED:
            detector = make(**TRAINING[name]).meta_fit(make_family())
            detector.pretrained.save(folder / f"{name}.safetensors")
    X, y, query, _ = new_task(k_support=3, n_query=16)
    arrays = {"support_X": X, "support_y": y, "query_X": query[::2]}
    np.savez(folder / "scores.npz", **arrays)
    for name in DETECTORS[__version__]:
        for kind in KINDS[__version__]:
            detector, (*_, asked) = fitted(__version__, name, kind), rows(arrays, kind)
            key = f"{name}/{kind}"
            arrays[key] = detector.score_samples(asked)
            arrays[f"{key}/offset"] = detector.offset_
            arrays[f"{key}/probability"] = detector.predict_proba(asked)[:, 1]
    np.savez(folder / "scores.npz", **arrays)
    stored.cache_clear()


if __name__ == "__main__":
    main()

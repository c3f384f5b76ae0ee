"""Score rows in another process, by detectors and states that were kept in files."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench.speed.fresh import run_fresh

CODE = "import sys; from bench.speed.elsewhere import score_kept; score_kept(sys.argv[1])"
HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}


def scores_elsewhere(folder: Path, hide: bool) -> dict[str, Any]:
    """Score the rows in a folder by the detectors and states in it, in a new process.

    Parameters
    ----------
    folder : Path
        Holds ``rows.pickle``, and ``NAME.pickle`` and ``NAME.safetensors`` with ``NAME.json``.
    hide : bool
        Whether to hide all GPUs from the process.

    Returns
    -------
    scores : dict of str to ndarray or str
        By what was loaded; a traceback where that failed.
    """
    run_fresh(CODE, str(folder), **(HIDDEN if hide else {}))
    with (folder / "scores.pickle").open("rb") as file:
        found: dict[str, Any] = pickle.load(file)
    return found


def score_kept(name: str) -> None:
    """Score the rows in a folder, in the process without a device, and write the scores there."""
    folder, scores = Path(name), {}
    if HIDDEN.items() <= os.environ.items():
        import torch

        if torch.cuda.is_available():
            raise RuntimeError("a GPU is seen that should be hidden")
    with (folder / "rows.pickle").open("rb") as file:
        rows = pickle.load(file)
    for what, scored in _scorings(folder, rows):
        try:
            scores[what] = scored()
        except Exception:  # of any kind: it is handed back, and the others are scored
            scores[what] = traceback.format_exc()
    with (folder / "scores.pickle").open("wb") as file:
        pickle.dump(scores, file)


def _scorings(folder: Path, rows: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and functions that load something and score the rows by it."""
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))

        def by_pickle(path: Path = path) -> np.ndarray:
            with path.with_suffix(".pickle").open("rb") as file:
                return pickle.load(file).score_samples(rows.query)

        def by_state(path: Path = path, case: dict[str, Any] = case) -> np.ndarray:
            make = getattr(importlib.import_module("sklearn_fsad"), case["class"])
            detector = make(**case["parameters"])
            detector.set_params(pretrained=path.with_suffix(".safetensors"))
            return detector.fit(rows.X, rows.y).score_samples(rows.query)

        yield f"{case['name']}, pickle", by_pickle
        if path.with_suffix(".safetensors").exists():
            yield f"{case['name']}, state", by_state

"""Make the weights of InContextDetector again from nothing but synthetic tables.

Tables come from ``sklearn_fsad.prior.TabularPrior``; no real one is ever read. What was looked at
is kept in ``--cache``, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from bench.options import add_options
from bench.report.records import Result
from sklearn_fsad import MetaState
from sklearn_fsad._detectors.in_context.closed_form import default_arrays
from sklearn_fsad._detectors.in_context.module import arrays_of, new_module
from sklearn_fsad._detectors.in_context.training import described, train
from sklearn_fsad._evidence.episodes import FoldedEvidence, observe, typical_spread
from sklearn_fsad._evidence.kinds import TABULAR
from sklearn_fsad._training.progress import progress
from sklearn_fsad._training.settings import TrainingSettings
from sklearn_fsad.prior import TabularPrior
from sklearn_fsad.tasks._episodes import EpisodeSampler

CHUNK = 50
KINDS = tuple(TABULAR.values())
N_NORMAL, N_ANOMALOUS, N_QUERY = (8, 500), (0, 10), 64


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of making weights."""
    parser.add_argument("--output", type=Path, required=True, help="file to write the weights to")
    parser.add_argument("--cache", type=Path, default=Path(".pretraining"), help="folder")
    parser.add_argument("--tasks", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    add_options(parser, seed=0, jobs=1)


def observe_chunk(start: int, seed: int, cache: Path) -> list[Any]:
    """Draw one episode of each of some synthetic tables, from the cache if it is there."""
    path = cache / f"seed-{seed}-from-{start}.joblib"
    if path.is_file():
        return joblib.load(path)
    tasks = TabularPrior(random_state=seed).sample(CHUNK, start)
    sampler = EpisodeSampler(
        tasks, n_normal=N_NORMAL, n_anomalous=N_ANOMALOUS, n_query=N_QUERY, seed=seed + start
    )
    evidence = FoldedEvidence(tasks, tuple(TABULAR.values()), "none", None)
    observations = observe(evidence, sampler, CHUNK, [range(tasks.n_tasks)])
    joblib.dump(observations, path)
    return observations


def run(args: argparse.Namespace) -> Sequence[Result]:
    """Make the weights of InContextDetector again from nothing but synthetic tables."""
    args.cache.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    jobs = (joblib.delayed(observe_chunk)(i, args.seed, args.cache)
            for i in range(0, args.tasks, CHUNK))  # fmt: skip
    chunks = joblib.Parallel(args.jobs, return_as="generator")(jobs)
    observations = [o for chunk in tqdm(chunks, "tables", total=-(-args.tasks // CHUNK), unit="x50")
                    for o in chunk]  # fmt: skip
    looked = time.perf_counter() - begun
    typical = typical_spread(observations, tuple(TABULAR.values()))
    settings = TrainingSettings(lr=args.lr, max_epochs=args.epochs, batch_size=32, seed=args.seed)
    with progress("pretrain", verbose=1):
        module, history = train(
            new_module(default_arrays(), args.seed), described(observations, typical), settings
        )
    info = {
        "evidence": list(TABULAR),
        "n_tasks": len(observations),
        "n_normal": list(N_NORMAL),
        "n_anomalous": list(N_ANOMALOUS),
        "seed": args.seed,
        "history": history,
    }
    labelled_tables = np.array([[0.0, 1.0], [0.0, 0.0]])  # elsewhere the closed form was as good
    arrays = {**arrays_of(module, labelled_tables), "typical_spread": typical}
    state = MetaState("InContextDetector", {}, arrays, None, info=info)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    state.save(args.output)
    print(f"{len(observations)} tables in {looked:.0f} s; losses "
          f"{np.round([epoch['train_loss'] for epoch in history], 4).tolist()}")  # fmt: skip
    print(f"{state} written to {args.output}, {args.output.stat().st_size} bytes")
    return ()

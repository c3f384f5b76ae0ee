"""Seed torch temporarily, and restore its global generator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GENERATOR = threading.RLock()  # torch has one generator for all threads


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed torch within the block, and restore its generator afterwards."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield

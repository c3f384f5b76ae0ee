"""Seed torch temporarily, and restore its global generator."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GENERATOR = threading.RLock()  # torch has one generator for all threads


def _renew() -> None:
    """Forget who held the generator in the parent of a forked child."""
    global _GENERATOR
    _GENERATOR = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed torch within the block, and restore its generator afterwards.

    It is the generator of the CPU: what a network draws is drawn there, on whatever device it
    trains, so that all devices get the same numbers. Generators of other devices are left alone.
    """
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield

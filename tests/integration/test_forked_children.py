"""A forked child computes what its parent would, which may have used several threads of torch."""

import os
import subprocess
import sys

import pytest
from families import TESTS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
]
MOST_SECONDS = 120  # a child that waits for threads of its parent waits for ever
PARENT = f"""
import os, signal, sys, threading
import torch
square = torch.ones(600, 600)
square @ square, square.exp().sum()  # which starts a second thread of torch's
sys.path.insert(0, {str(TESTS)!r})
from families import little_work, make_detector, make_family, new_task, unlearned
from sklearn.base import clone

assert torch.get_num_threads() == 2
X, y, query, _ = new_task()

def in_child(tell):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm({MOST_SECONDS})
        try:
            os.write(write, repr(tell()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told

def meta_fitted(name):
    brief = {{"episodes_per_epoch": 4, "max_epochs": 1}}
    return unlearned(name).set_params(**brief).meta_fit(make_family(4))

def scores():
    return [detector.score_samples(query).tolist() for detector in fitted]

def fits():
    return [clone(detector).fit(X, y).score_samples(query).tolist() for detector in fitted]

def meta_fits():
    return [meta_fitted(name).pretrained.sha256 for name in to_meta_fit]

def fits_while_another_thread_does():
    over = threading.Event()
    def busy():
        while not over.is_set():
            clone(fitted[-1]).fit(X, y).score_samples(query)
    other = threading.Thread(target=busy)
    other.start()
    try:
        return in_child(lambda: clone(fitted[-1]).fit(X, y).score_samples(query).tolist())
    finally:
        over.set()
        other.join()

to_meta_fit = "mlp", "residual maml", "meta-fitted np"
to_fit = "closed form", "process closed form", "in context", "self-taught process"
with little_work():
    fitted = [meta_fitted(name).fit(X, y) for name in to_meta_fit]
    fitted += [make_detector(name).fit(X, y) for name in to_fit]
    for tell in scores, fits, meta_fits:
        assert in_child(tell) == repr(tell()), tell
    assert fits_while_another_thread_does() == repr(fits()[-1])
assert in_child(torch.get_num_threads) == "2"
"""


def test_children_of_a_parent_with_two_threads_score_fit_and_meta_fit_as_it_does():
    settings = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", PARENT]
    told = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=600)
    assert told.returncode == 0, told.stderr[-3000:]

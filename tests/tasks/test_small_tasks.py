"""Small tasks are told of once: by a warning where shots were set, else by the log."""

import logging
import warnings

import numpy as np
import pytest
from families import QUICK

from sklearn_fsad import MAMLDetector, ProtoNetDetector
from sklearn_fsad.exceptions import TaskWarning
from sklearn_fsad.tasks import EpisodeSampler, TaskSet
from sklearn_fsad.tasks._small_tasks import tell_of_small_tasks

RNG = np.random.default_rng(0)
SMALL = [(RNG.normal(size=(60, 3)), np.repeat([0, 1], [60 - k, k])) for k in (3, 4, 5, 8)]
FAST = {"episodes_per_epoch": 4, "max_epochs": 1, "random_state": 0}


def told(*, given, tasks=SMALL, **ranges):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tell_of_small_tasks(EpisodeSampler(TaskSet(tasks), **ranges), given)
    return [str(w.message) for w in caught]


def test_the_warning_counts_the_tasks_and_tells_the_shots_of_the_small_ones():
    (message,) = told(given={"n_anomalous"}, n_normal=(5, 20), n_anomalous=(0, 4))
    assert message.startswith("3 of 4 tasks have too few anomalous rows for n_anomalous=(0, 4)")
    assert "at most 2 to 3 anomalous shots" in message
    assert "3 anomalous rows." in message


def test_what_fits_is_not_told():
    assert told(given={"n_normal", "n_anomalous"}, n_normal=(5, 20), n_anomalous=(0, 2)) == []


def test_defaults_are_clipped_with_a_line_in_the_log(caplog):
    with caplog.at_level(logging.INFO, "sklearn_fsad"):
        ProtoNetDetector(**FAST).meta_fit(SMALL)  # a warning would be an error
    lines = [record.message for record in caplog.records]
    assert sum("4 of 4 tasks have too few anomalous rows" in line for line in lines) == 1


def flat():
    return {
        "X": np.concatenate([X for X, _ in SMALL]),
        "y": np.concatenate([y for _, y in SMALL]),
        "groups": np.repeat(range(len(SMALL)), 60),
    }


FORMS = {
    "list": lambda: {"X": SMALL},
    "dict": lambda: {"X": dict(enumerate(SMALL))},
    "set": lambda: {"X": TaskSet(SMALL)},
    "flat": flat,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cls", [ProtoNetDetector, MAMLDetector])
@pytest.mark.filterwarnings("ignore::sklearn_fsad.exceptions.AdaptationWarning")
def test_shots_that_were_set_warn_once_at_the_line_of_the_caller(form, cls):
    detector = cls(n_normal=(5, 20), n_anomalous=(0, 9), n_query=QUICK["n_query"], **FAST)
    with pytest.warns(TaskWarning, match="4 of 4 tasks") as caught:
        detector.meta_fit(**FORMS[form]())
    ours = [w for w in caught if w.category is TaskWarning]
    assert [w.filename for w in ours] == [__file__]

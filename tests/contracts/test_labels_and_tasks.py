"""Bad labels, parameters and tasks are refused by name; poor ones do no harm.

The numbers in the names are those of the list of faults that the project promises about.
"""

import re

import numpy as np
import pandas as pd
import pytest
from families import (
    BARELY,
    META_FITTED,
    ONE_WIDTH,
    QUICK,
    assert_usable,
    make_detector,
    new_task,
)
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_fsad import ProtoNetDetector, TaskSet
from sklearn_fsad.exceptions import TaskWarning

pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:X has feature names"),
    pytest.mark.usefixtures("few_trees", "few_lessons"),
]


# --- 15, 17: labels and parameters ----------------------------------------------------------------
def test_15_wrong_labels_are_refused(each_class, task):
    X, y, _, _ = task
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        each_class.fit(X, y[:-1])
    with pytest.raises(ValueError, match="1d array"):
        each_class.fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="all 16 rows as anomalies"):
        each_class.fit(X, -np.ones(len(X)))
    with pytest.raises(ValueError, match="Accepted with outlier_label='auto'"):
        each_class.fit(X, np.where(y == 1, "bad", "good"))


@pytest.mark.parametrize("value", [0, 0.6, -0.1, np.nan, "x", None])
def test_17_wrong_contamination_is_refused_at_fit_not_at_init(task, value):
    detector = ProtoNetDetector(contamination=value)
    with pytest.raises(InvalidParameterError, match="'contamination' parameter"):
        detector.fit(*task[:2])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("alpha", 0.0),
        ("alpha", 1.0),
        ("threshold", "f2"),
        ("embedding", "conv"),
        ("embedding_dim", 0),
        ("evidence", "most"),
        ("scaler", "minmax"),
        ("n_query", 1),
        ("max_epochs", -1),
        ("episodes_per_epoch", 0),
        ("batch_size", 0),
        ("lr", 0.0),
        ("pretrained", 3),
        ("n_normal", "5 to 50"),
        ("random_state", "seed"),
    ],
)
def test_17_wrong_parameters_are_refused_by_name_at_fit_and_at_meta_fit(
    parameter, value, family, task
):
    detector = ProtoNetDetector(**{parameter: value})
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        detector.fit(*task[:2])
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter"):
        detector.meta_fit(family)


@pytest.mark.parametrize(
    "shots",
    [{"n_normal": (1, 5)}, {"n_normal": (6, 5)}, {"n_normal": (5,)}, {"n_anomalous": (-1, 2)},
     {"n_anomalous": (0.5, 2)}],
)  # fmt: skip
def test_17_wrong_ranges_of_shots_are_refused_at_meta_fit(shots, family):
    with pytest.raises(ValueError, match=f"{next(iter(shots))}=.* must be a pair"):
        ProtoNetDetector(**shots).meta_fit(family)


def test_17_unknown_parameters_are_refused_at_init():
    with pytest.raises(TypeError, match="contaminatoin"):
        ProtoNetDetector(contaminatoin=0.1)


# --- 19, 20, 21: tasks ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", META_FITTED)
def test_19_what_is_no_list_of_tasks_is_refused_with_the_accepted_forms(name, family):
    detector = make_detector(name)
    X, y = family[0]
    for args in (([],), ((X, y),), (X,), (X, y), (pd.DataFrame(X),)):
        with pytest.raises(ValueError, match=r"a list of \(X_t, y_t\) pairs, a dict"):
            detector.meta_fit(*args)


@pytest.mark.parametrize("name", ONE_WIDTH)
def test_20_a_task_of_another_width_is_named(name, family):
    tasks = {f"pump {i}": pair for i, pair in enumerate(family)}
    tasks["fan"] = (np.zeros((30, 4)), None)
    with pytest.raises(ValueError, match="Task 'fan' has 4 features, the first task has 5"):
        make_detector(name).meta_fit(tasks)


@pytest.mark.parametrize("name", META_FITTED)
@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda X, y: (np.where(X.max() > X, X, np.inf), y), "infinity"),
        (lambda X, y: (X, np.arange(len(y)) % 3), "Unknown label type"),
        (lambda X, y: (X, y[1:]), "inconsistent numbers of samples"),
        (lambda X, y: (X, -np.ones(len(y))), "all 52 rows as anomalies"),
    ],
)
def test_20_and_21_a_wrong_task_is_named(name, family, spoil, match):
    spoilt = [*family[:3], spoil(*family[3]), *family[4:]]
    with pytest.raises(ValueError, match=f"Task 3: .*{match}"):
        make_detector(name).meta_fit(spoilt)
    keyed = {f"pump {i}": pair for i, pair in enumerate(spoilt)}
    with pytest.raises(ValueError, match=f"Task 'pump 3': .*{match}"):
        make_detector(name).meta_fit(keyed)


def test_21_tasks_without_anomalies_are_used_as_normals(family):
    labelled, normals_only = family[:4], [(X[y == 0], None) for X, y in family[4:]]
    detector = ProtoNetDetector(**QUICK)
    few = clone(detector).meta_fit(labelled).pretrained
    more = clone(detector).meta_fit([*labelled, *normals_only]).pretrained
    assert more.info["n_tasks"] == 8
    assert not np.allclose(more.arrays["pooled_raw_gain"], few.arrays["pooled_raw_gain"])


def test_21_tasks_that_have_no_anomalies_at_all_keep_the_closed_form(family):
    normals_only = [(X[y == 0], None) for X, y in family]
    with pytest.warns(TaskWarning, match="the default weights are kept"):
        detector = ProtoNetDetector(**QUICK).meta_fit(normals_only)
    assert "theta" not in detector.pretrained.arrays
    X, y, query, query_y = new_task()
    assert detector.fit(X, y).score(query, query_y) > 0.6
    with pytest.raises(ValueError, match='use embedding="pooled"'):
        ProtoNetDetector(embedding="mlp", **QUICK).meta_fit(normals_only)


@pytest.mark.parametrize("name", META_FITTED)
def test_21_tasks_smaller_than_the_supports_are_told_once(name, family):
    X, y = family[0]
    small = np.r_[:9, 40:43]
    tasks = TaskSet([*family[1:], (X[small], y[small])], names=[*"abcdefg", "tiny"])
    detector = make_detector(name).set_params(**BARELY)
    told = r"1 of 8 tasks has too few normal .* at most 6 normal shots.* 'tiny' with 9 normal rows"
    with pytest.warns(TaskWarning) as caught:
        detector.meta_fit(tasks)
    assert [w.filename for w in caught] == [__file__] * len(caught)
    assert [bool(re.search(told, str(w.message))) for w in caught] == [True, False]
    assert "1 of 8 tasks has too few anomalous rows" in str(caught[1].message)
    support_X, support_y, query, _ = new_task()
    assert_usable(detector.fit(support_X, support_y), query)


def test_21_few_and_tiny_tasks_still_teach_something_finite(family):
    X, y = family[0]
    tiny = np.r_[:4, 40:42]
    with pytest.warns(TaskWarning, match="with 4 normal rows|with 2 anomalous rows"):
        detector = ProtoNetDetector(**QUICK).meta_fit([(X[tiny], y[tiny]), family[1]])
    support_X, support_y, query, _ = new_task()
    assert_usable(detector.fit(support_X, support_y), query)


def test_21_one_task_alone_teaches_what_needs_no_other(family):
    detector = ProtoNetDetector(**QUICK).meta_fit(family[:1])
    assert "pooled_raw_basis" not in detector.pretrained.arrays
    support_X, support_y, query, _ = new_task()
    assert_usable(detector.fit(support_X, support_y), query)
    with pytest.raises(ValueError, match="give at least two groups of tasks"):
        ProtoNetDetector(evidence=["nearest_pooled"], **QUICK).meta_fit(family[:1])


def test_21_constant_and_degenerate_tasks_are_harmless(family):
    X, y = family[0]
    constant = X.copy()
    constant[:, 2] = 1.0
    tasks = [*family[1:], (constant, y), (np.full_like(X, 3.0), y)]
    for embedding in ("pooled", "mlp"):
        detector = ProtoNetDetector(embedding=embedding, **QUICK).meta_fit(tasks)
        support_X, support_y, query, _ = new_task()
        assert_usable(detector.fit(support_X, support_y), query)


# --- 25: nothing that ran before matters ----------------------------------------------------------
def test_25_the_result_does_not_depend_on_a_pyod_network_run_before(family, task):
    pyod = pytest.importorskip("pyod.models.auto_encoder")
    X, y, query, _ = task
    results = []
    for _ in range(2):
        for embedding in ("pooled", "mlp"):
            detector = ProtoNetDetector(embedding=embedding, **{**QUICK, **BARELY})
            results.append(detector.meta_fit(family).fit(X, y).decision_function(query))
        network = pyod.AutoEncoder(epoch_num=1, hidden_neuron_list=[4, 2], verbose=0)
        network.fit(family[0][0])
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])

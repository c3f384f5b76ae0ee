"""Test that parameters mean the same as numbers, arrays and series of numpy and pandas."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from families import SHOTS, make_family, new_task
from pyod.models.knn import KNN
from scipy.stats import randint, uniform
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, ParameterSampler

from sklearn_fsad import (
    FewShotSplit,
    InContextDetector,
    MAMLDetector,
    MetaState,
    NeuralProcessDetector,
    ProtoNetDetector,
    TaskEstimator,
    TaskSet,
    metrics,
    thresholds,
)
from sklearn_fsad.adapters import PyODDetector, to_pyod
from sklearn_fsad.augmentation import FeatureDropout, Jitter, Mixup, augment_tasks
from sklearn_fsad.callbacks import Checkpoint
from sklearn_fsad.datasets import load_digits_tasks, make_related_tasks, make_sinusoid_tasks
from sklearn_fsad.prior import TabularPrior
from sklearn_fsad.tasks import EpisodeSampler, make_tasks_from_classes, make_tasks_from_table

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")

SHARED = {
    **SHOTS,
    "support_contamination": 0.1,
    "max_epochs": 1,
    "episodes_per_epoch": 8,
    "batch_size": 4,
    "lr": 0.01,
    "threshold": "conformal",
    "alpha": 0.1,
    "contamination": 0.2,
    "outlier_label": 1,
    "clean_support": False,
    "max_context": 200,
    "pretrained": None,
    "device": "cpu",
    "net_params": {"optimizer": torch.optim.Adam, "optimizer__weight_decay": 0.01},
    "callbacks": None,
    "verbose": 0,
    "random_state": 3,
}
MAML = {"inner_lr": 0.1, "n_inner_steps": 2, "residual": False, "augment": False, "gate": False}
ARRAYS = ("n_normal", "n_anomalous", "hidden", "evidence", "target_features", "grid_shape")
SETTINGS = {
    "pooled": (ProtoNetDetector, {"embedding": "pooled", "evidence": ("nearest_scaled", "off_axis"),
                                  "embedding_dim": 2, "scaler": "shrunk", "hidden": None,
                                  "adversarial_eps": 0.0, "categorical_features": None}),
    "mlp": (ProtoNetDetector, {"embedding": "mlp", "hidden": (8,), "embedding_dim": 4,
                               "adversarial_eps": 0.1, "scaler": "task", "evidence": None}),
    "maml": (MAMLDetector, {**MAML, "learner": "autoencoder", "algorithm": "anil", "inject": True,
                            "inner_batch": "one-class", "multi_step_loss": True, "hidden": (8,),
                            "embedding_dim": 3, "scaler": "task", "clean_support": True}),
    "process": (NeuralProcessDetector, {
        "kind": "convcnp", "anomaly_score": "nll", "anchor": "both", "likelihood": "gaussian",
        "n_masks": 4, "target_features": None, "grid_shape": (5,), "reduce": None, "reduce_dim": 3,
        "objective": "elbo", "n_latent_samples": 2, "weigh_features": False, "gate": False,
        "label_evidence": False,
        "embedding_dim": 8, "n_layers": 1, "n_heads": 2, "scaler": "task"}),
    "regression": (NeuralProcessDetector, {"kind": "cnp", "target_features": (0, 4), "gate": False,
                                           "embedding_dim": 8}),
    "context": (InContextDetector, {"max_context": 20, "categorical_features": None}),
}  # fmt: skip


def of_numpy(value):
    """The same value as numpy has it."""
    if isinstance(value, dict):
        return {name: of_numpy(part) for name, part in value.items()}
    kinds = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}
    return kinds[type(value)](value) if type(value) in kinds else value


def settings_of(name):
    """The class, its parameters in plain Python, and the same ones of numpy."""
    cls, own = SETTINGS[name]
    plain = {**SHARED, **own}
    if cls is InContextDetector:
        plain["net_params"] = {"optimizer__weight_decay": 0.01}
    given = {
        name: np.array(value) if name in ARRAYS and value is not None else of_numpy(value)
        for name, value in plain.items()
    }
    return cls, plain, given


def test_the_settings_below_name_every_parameter_of_every_detector():
    for cls in (ProtoNetDetector, MAMLDetector, NeuralProcessDetector, InContextDetector):
        named = {name for other, own in SETTINGS.values() if other is cls for name in own}
        assert named | set(SHARED) >= set(cls().get_params())


@pytest.mark.parametrize("name", SETTINGS)
def test_numbers_and_arrays_of_numpy_are_those_of_python(name):
    cls, plain, given = settings_of(name)
    X, y, query, _ = new_task()
    expected = cls(**plain).meta_fit(make_family(4))
    detector = cls(**given)
    for parameter, value in clone(detector).get_params().items():  # what was given, or its copy
        assert type(value) is type(given.get(parameter, value))
    assert detector.meta_fit(make_family(4)).pretrained == expected.pretrained
    for found in (detector, clone(detector)):
        scores = found.fit(X, y).score_samples(query)
        np.testing.assert_array_equal(scores, expected.fit(X, y).score_samples(query))
        assert found.offset_ == expected.offset_
        np.testing.assert_array_equal(found.predict_proba(query), expected.predict_proba(query))
    kept = detector.get_params(deep=False)
    assert not [name for name in given if name != "pretrained" and kept[name] is not given[name]]


@pytest.mark.parametrize("sequence", [list, pd.Series, pd.Index, np.asarray], ids=str)
def test_any_sequence_is_a_tuple(sequence):
    shots, hidden = SHOTS["n_normal"], (8, 4)
    expected = MAMLDetector(n_normal=shots, hidden=hidden)._net_settings(0.1, 0).parameters
    detector = MAMLDetector(n_normal=sequence(shots), hidden=sequence(hidden))
    assert detector._net_settings(0.1, 0).parameters == expected  # of which a checkpoint is named
    detector._validate_params()
    one = {"max_epochs": 1, "episodes_per_epoch": 2}
    targets = NeuralProcessDetector(kind="cnp", target_features=sequence([1]), **one)
    assert targets.fit(make_family(1)[0][0][:9]).state_.info["targets"] == [1]


def test_searches_over_numpy_ranges_frames_and_distributions_run():
    plain = {**SHOTS, "episodes_per_epoch": 2, "max_epochs": 1, "random_state": 0}
    estimator = TaskEstimator(
        ProtoNetDetector(embedding="mlp", scaler="task", **plain),
        splitter=FewShotSplit(np.int64(6), 1, n_draws=np.array(1)),
    )
    grids = {
        "arange": {"detector__embedding_dim": np.arange(1, 3)},
        "arrays": {"detector__n_normal": [np.array([4, 9]), np.array([4, 16])]},
        "a frame": [
            {name: [value] for name, value in row.items()}
            for row in pd.DataFrame({"detector__max_epochs": [0, 1]}).to_dict("records")
        ],
        "distributions": [
            {name: [value] for name, value in row.items()}
            for row in ParameterSampler({"detector__lr": uniform(0.01, 0.1),
                                         "detector__n_query": randint(10, 20)}, 2, random_state=0)
        ],
    }  # fmt: skip
    for grid in grids.values():
        search = GridSearchCV(estimator, grid, cv=KFold(2), error_score="raise", refit=False)
        scores = search.fit(make_family(4)).cv_results_["mean_test_score"]
        assert len(scores) == 2
        assert np.isfinite(scores).all()


def test_a_checkpoint_is_found_again_by_numbers_of_numpy(tmp_path):
    _, plain, given = settings_of("mlp")
    for settings in (plain, given):
        detector = ProtoNetDetector(**{**settings, "callbacks": [Checkpoint(tmp_path)]})
        detector.meta_fit(make_family(4))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_holds_values_of_python():
    facts = {"n": np.int64(3), "rate": np.float32(0.5), "on": np.bool_(True), "to": np.array([1])}
    state = MetaState("Mine", {"name": np.str_("a"), **facts}, {}, np.int64(2), info={"all": facts})
    assert state.architecture["to"] == [1]
    assert state.info["all"] == {"n": 3, "rate": 0.5, "on": True, "to": [1]}
    assert type(state.info["all"]["n"]) is int
    with pytest.raises(TypeError, match="A state cannot hold"):
        MetaState("Mine", {"what": object()}, {}, None)


X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.repeat([0, 1], [30, 10])
SCORES = np.arange(19.0), np.array([20.0, 21.0])


def fitted():
    return ProtoNetDetector().fit(X[:20])


def rows_of(tasks):
    return [(task.name, task.group, task.X.tobytes(), task.y.tobytes()) for task in tasks]


CALLS = {
    "FewShotSplit": (lambda **k: [t.tolist() for part in FewShotSplit(**k).split(X, Y)
                                  for t in part],
                     {"n_normal": 3, "n_anomalous": 2, "n_draws": 2, "n_query": 6,
                      "unlabelled": "train", "outlier_label": 1, "on_short": "skip",
                      "random_state": 4}),
    "TaskSet": (lambda **k: rows_of(TaskSet([(X, Y), (X + 1, Y)], **k)),
                {"names": ("a", "b"), "groups": (7, 7), "allow_nan": True, "outlier_label": 1}),
    "EpisodeSampler": (lambda **k: EpisodeSampler(TaskSet([(X, Y)]), **k).episode(0, 1).query_X,
                       {"n_normal": (3, 5), "n_anomalous": (0, 2), "n_query": 10, "seed": 3,
                        "support_contamination": 0.1}),
    "make_tasks_from_classes": (lambda **k: rows_of(make_tasks_from_classes(X, Y, **k)),
                                {"n_normal": 9, "n_anomalous": 3, "random_state": 3,
                                 "classes": (0, 1)}),
    "make_tasks_from_table": (lambda **k: rows_of(make_tasks_from_table(X, **k)),
                              {"n_tasks": 3, "kinds": ("local", "global"), "n_normal": 9,
                               "n_anomalous": 3, "max_components": 2, "random_state": 3}),
    "make_related_tasks": (lambda **k: rows_of(make_related_tasks(**k)),
                           {"n_tasks": 2, "n_features": 3, "n_normal": 9, "n_anomalous": 3,
                            "random_state": 3}),
    "make_sinusoid_tasks": (lambda **k: rows_of(make_sinusoid_tasks(**k)),
                            {"n_tasks": 2, "n_normal": 9, "n_anomalous": 3, "noise": 0.2,
                             "random_state": 3}),
    "load_digits_tasks": (lambda **k: rows_of(load_digits_tasks(**k).new_tasks),
                          {"new_digits": (1, 2), "test_size": 0.3, "random_state": 3}),
    "TabularPrior": (lambda **k: rows_of(TabularPrior(**k).sample(np.int64(2), np.int64(1))),
                     {"n_features": (2, 4), "n_normal": 9, "n_anomalous": 3, "random_state": 3}),
    "augment_tasks": (lambda scale, alpha, rate, **k: rows_of(augment_tasks(
                          [(X, Y)], Jitter(scale), Mixup(alpha), FeatureDropout(rate), **k)),
                      {"scale": 0.1, "alpha": 0.2, "rate": 0.2, "n_copies": 2, "random_state": 3}),
    "calibrate": (lambda **k: fitted().calibrate(X, Y, **k).offset_,
                  {"metric": "cost", "max_fpr": 0.1, "costs": (1.0, 3.0)}),
    "max_fpr": (lambda **k: fitted().calibrate(X, Y, **k).offset_,
                {"metric": "recall_at_fpr", "max_fpr": 0.1}),
    "set_threshold": (lambda **k: fitted().set_threshold(**k).offset_,
                      {"threshold": "conformal", "alpha": 0.1}),
    "a score": (lambda **k: fitted().set_threshold(**k).offset_, {"threshold": -1.5}),
    "contamination": (lambda **k: fitted().set_threshold(**k).offset_, {"contamination": 0.2}),
    "predict_proba": (lambda **k: fitted().predict_proba(X, **k), {"anomaly_rate": 0.2}),
    "predict_fdr": (lambda **k: fitted().predict_fdr(X, **k), {"q": 0.2}),
    "PyODDetector": (lambda **k: PyODDetector(KNN(n_neighbors=3), **k).fit(X, Y).offset_,
                     {"outlier_label": 1, "random_state": 3}),
    "to_pyod": (lambda **k: to_pyod(ProtoNetDetector(), **k).fit(X).threshold_,
                {"contamination": 0.1, "threshold": "contamination"}),
    "anomaly_scorer": (lambda **k: metrics.anomaly_scorer(**k)(fitted(), X, Y),
                       {"metric": "f1", "outlier_label": 1}),
    **{kind: (lambda kind=kind, **k: getattr(thresholds, kind)(**k)(*SCORES), {"alpha": 0.1})
       for kind in ("ConformalThreshold", "AutoThreshold", "F1Threshold")},
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_functions_take_numbers_and_arrays_of_numpy(name):
    call, plain = CALLS[name]
    given = {
        key: np.array(value) if isinstance(value, tuple) else of_numpy(value)
        for key, value in plain.items()
    }
    assert pickle.dumps(call(**given)) == pickle.dumps(call(**plain))


def test_a_rate_in_single_precision_has_the_rank_of_one_in_double():
    for n, alpha in ((19, 0.1), (39, 0.05), (9, 0.2)):
        scores = np.arange(float(n))
        expected = thresholds.conformal_cut(scores, alpha)
        assert thresholds.conformal_cut(scores, np.float32(alpha)) == expected

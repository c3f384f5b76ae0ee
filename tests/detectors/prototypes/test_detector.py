"""ProtoNetDetector: evidence, embedding, the textbook network, and what meta_fit is worth."""

import pickle

import numpy as np
import pandas as pd
import pytest
from families import QUICK, QUICK_MIX, make_detector, make_family, new_task
from sklearn.base import clone

from sklearn_fsad import ProtoNetDetector
from sklearn_fsad._evidence.kinds import EVIDENCE


# --- evidence -------------------------------------------------------------------------------------
def log_distance(support, rows):
    """Euclidean distance to the mean of the normals, scaled by them."""
    return np.log(np.square(rows.scaled).sum(axis=1) + 1e-100)


def test_a_subset_of_the_evidence_can_be_named():
    X, y, query, query_y = new_task()
    chosen = ["mahalanobis_pooled", "discriminant_pooled"]
    detector = ProtoNetDetector(evidence=chosen, **QUICK).meta_fit(make_family()).fit(X, y)
    assert detector.pretrained.architecture["evidence"] == chosen
    assert detector.pretrained.arrays["theta"].shape == (3, 2)
    assert detector.score(query, query_y) > 0.8
    assert make_detector("meta-fitted").pretrained.architecture["evidence"] == list(EVIDENCE)


def test_a_single_kind_of_evidence_ranks_as_that_evidence_does():
    X, _, query, _ = new_task(k_support=0)
    detector = ProtoNetDetector(evidence=["mahalanobis_raw"]).fit(X)
    reference = detector._adaptation.representation.evaluate(query)[:, 0]
    np.testing.assert_array_equal(
        np.argsort(detector.score_samples(query)), np.argsort(reference)[::-1]
    )


def test_evidence_of_ones_own_survives_meta_fit_clone_pickle_and_a_saved_state(tmp_path):
    X, y, query, _ = new_task()
    mine = ["nearest_pooled", log_distance]
    detector = ProtoNetDetector(evidence=mine, **QUICK).meta_fit(make_family()).fit(X, y)
    assert detector.pretrained.architecture["evidence"] == ["nearest_pooled", "log_distance"]
    expected = detector.decision_function(query)
    for copy in (clone(detector).fit(X, y), pickle.loads(pickle.dumps(detector))):
        assert copy.evidence == mine
        np.testing.assert_array_equal(copy.decision_function(query), expected)
    detector.pretrained.save(tmp_path / "state.safetensors")
    loaded = ProtoNetDetector(evidence=mine, pretrained=tmp_path / "state.safetensors").fit(X, y)
    np.testing.assert_array_equal(loaded.decision_function(query), expected)
    without = ProtoNetDetector(pretrained=detector.pretrained)
    with pytest.raises(ValueError, match=r"evidence of your own named \['log_distance'\]"):
        without.fit(X, y)


def test_evidence_of_ones_own_works_without_meta_fit():
    X, y, query, _ = new_task()
    alone = ProtoNetDetector(evidence=[log_distance]).fit(X, y)
    expected = np.square((query - X[y == 0].mean(axis=0)) / X[y == 0].std(axis=0)).sum(axis=1)
    np.testing.assert_array_equal(np.argsort(alone.score_samples(query)), np.argsort(-expected))


@pytest.mark.parametrize("step", ["fit", "meta_fit"])
def test_unknown_evidence_is_refused_with_the_known_names(step):
    detector = ProtoNetDetector(evidence=["mahalanobis_raw", "nearest"], **QUICK)
    with pytest.raises(ValueError, match=r"'nearest'.*names out of mahalanobis_raw, "):
        detector.fit(*new_task()[:2]) if step == "fit" else detector.meta_fit(make_family())


def test_pooled_evidence_by_name_needs_meta_fit():
    with pytest.raises(ValueError, match=r"\['nearest_pooled'\] needs .* call meta_fit first"):
        ProtoNetDetector(evidence=["nearest_pooled"]).fit(*new_task()[:2])


def test_a_state_of_support_evidence_serves_tables_of_any_width():
    detector = make_detector("any width")
    assert detector.pretrained.n_features_in is None
    for width in (2, 5, 9, 120):
        X, y, query, _ = new_task(n_features=width)
        assert detector.fit(X, y).n_features_in_ == width
        assert np.isfinite(detector.score_samples(query)).all()


# --- transform ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("parameters", "width"),
    [({}, 5), ({"embedding_dim": 2}, 2), ({"embedding": "mlp"}, 32),
     ({"embedding": "mlp", "embedding_dim": 3, "hidden": (8, 6)}, 3),
     ({"evidence": "support"}, 5)],
)  # fmt: skip
def test_transform_has_the_width_of_the_embedding(parameters, width):
    X, y, query, _ = new_task()
    detector = ProtoNetDetector(**{**QUICK, "max_epochs": 1, **parameters}).meta_fit(make_family())
    Z = detector.fit(X, y).transform(query)
    assert Z.shape == (len(query), width)
    assert Z.dtype == np.float64
    names = [f"protonetdetector{j}" for j in range(width)]
    assert detector.get_feature_names_out().tolist() == names
    np.testing.assert_array_equal(clone(detector).fit_transform(X, y), detector.transform(X))
    frame = detector.set_output(transform="pandas").transform(query)
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == names
    np.testing.assert_array_equal(frame.to_numpy(), Z)


def test_transform_keeps_the_index_of_a_frame():
    X, y, query, _ = new_task()
    index = [f"row {i}" for i in range(len(query))]
    detector = (
        ProtoNetDetector().set_output(transform="pandas").fit(pd.DataFrame(X).add_prefix("c"), y)
    )
    assert (
        detector.transform(pd.DataFrame(query, index=index).add_prefix("c")).index.tolist() == index
    )


def test_the_embedding_whitens_what_the_tasks_share(meta_fitted):
    X, y, query, query_y = new_task(n_query=400)
    fitted = clone(meta_fitted).fit(X, y)
    spread = np.linalg.eigvalsh(np.cov(query[query_y == 0].T))
    white = np.linalg.eigvalsh(np.cov(fitted.transform(query[query_y == 0]).T))
    assert spread[-1] / spread[0] > 50
    assert white[-1] / white[0] < 10


# --- the textbook network -------------------------------------------------------------------------
def test_untrained_it_is_euclidean_prototypes():
    X, y, query, _ = new_task()
    detector = ProtoNetDetector(embedding="mlp", scaler="none").fit(X, y)
    normal, anomalous = X[y == 0].mean(axis=0), X[y == 1].mean(axis=0)
    to_normal = np.square(query - normal).sum(axis=1)
    to_anomalous = np.square(query - anomalous).sum(axis=1)
    np.testing.assert_allclose(
        -detector.score_samples(query), to_normal - to_anomalous, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(-detector.fit(X[y == 0]).score_samples(query), to_normal)
    np.testing.assert_array_equal(detector.transform(query), query)


def test_trained_it_scores_by_the_prototypes_of_its_embedding(meta_fitted_mlp):
    X, y, query, _ = new_task()
    detector = clone(meta_fitted_mlp).fit(X, y)
    Z, embedded = detector.transform(query), detector.transform(X)
    normal, anomalous = embedded[y == 0].mean(axis=0), embedded[y == 1].mean(axis=0)
    expected = np.square(Z - normal).sum(axis=1) - np.square(Z - anomalous).sum(axis=1)
    np.testing.assert_allclose(-detector.score_samples(query), expected, rtol=1e-8, atol=1e-10)


def test_the_loss_of_the_network_falls_and_it_learns_what_tells_anomalies():
    settings = {**QUICK, "max_epochs": 30, "lr": 0.01, "episodes_per_epoch": 32}
    detector = ProtoNetDetector(embedding="mlp", hidden=(32,), **settings).meta_fit(make_family())
    losses = [epoch["train_loss"] for epoch in detector.pretrained.info["history"]]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:2])
    gains = []
    for seed in range(100, 106):
        X, y, query, query_y = new_task(seed)
        untrained = ProtoNetDetector(embedding="mlp").fit(X, y).score(query, query_y)
        gains.append(detector.fit(X, y).score(query, query_y) - untrained)
    assert np.mean(gains) > 0.1


def test_the_network_of_the_last_epoch_is_not_shared_between_fits(meta_fitted_mlp):
    X, y, query, _ = new_task()
    one, other = clone(meta_fitted_mlp).fit(X, y), clone(meta_fitted_mlp).fit(X[:12])
    expected = one.score_samples(query)
    other.score_samples(query)
    np.testing.assert_array_equal(one.score_samples(query), expected)
    assert one._adaptation.module is not other._adaptation.module


# --- what meta_fit is worth -----------------------------------------------------------------------
@pytest.mark.parametrize(("n", "k"), [(5, 0), (8, 1), (12, 4)])
def test_meta_fit_beats_none_where_tasks_share_their_nuisance_directions(n, k, meta_fitted):
    learned, untrained = [], []
    for seed in range(200, 208):
        X, y, query, query_y = new_task(seed, n_support=n, k_support=k)
        learned.append(clone(meta_fitted).fit(X, y).score(query, query_y))
        untrained.append(ProtoNetDetector().fit(X, y).score(query, query_y))
    gain = np.array(learned) - untrained
    assert gain.mean() > 0.02
    assert np.mean(learned) > 0.85


def test_the_state_reports_how_the_mix_fared_on_held_out_tasks(meta_fitted):
    unlabelled, labelled = meta_fitted.pretrained.info["held_out"]
    assert unlabelled["regime"] == "unlabelled"
    assert labelled["regime"] == "labelled"
    for report in (unlabelled, labelled):
        assert 0.7 < report["roc_auc"]["mix"] <= 1.0
        assert report["used"] in report["roc_auc"]
    assert meta_fitted.pretrained.info["n_tasks"] == 8
    assert len(meta_fitted.pretrained.info["history"]) == QUICK_MIX["max_epochs"]


def test_shots_that_were_never_trained_work(meta_fitted):
    for n, k in ((2, 0), (3, 7), (60, 0), (60, 20)):
        X, y, query, query_y = new_task(n_support=n, k_support=k)
        detector = clone(meta_fitted).set_params(outlier_label=1)
        assert detector.fit(X, y).score(query, query_y) > 0.6

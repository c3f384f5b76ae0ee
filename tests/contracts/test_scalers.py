"""Test transformers of scikit-learn as the scaler of a detector."""

import numpy as np
import pytest
from families import SHOTS, make_family, new_task
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from sklearn_fsad import MAMLDetector, MetaState, NeuralProcessDetector, ProtoNetDetector

pytestmark = pytest.mark.usefixtures("few_trees", "few_lessons")

BRIEF = {**SHOTS, "max_epochs": 1, "episodes_per_epoch": 4, "random_state": 0}
ALONE = {"residual": False, "gate": False, "augment": False, "hidden": (4,)}
EACH = {
    "pooled": (ProtoNetDetector, {}),
    "mlp": (ProtoNetDetector, {"embedding": "mlp", "hidden": (4,)}),
    "maml": (MAMLDetector, ALONE),
    "residual maml": (MAMLDetector, {"gate": False, "augment": False, "hidden": (4,)}),
    "process": (NeuralProcessDetector, {"kind": "cnp", "gate": False, "embedding_dim": 4,
                                        "anchor": "none"}),
}  # fmt: skip


class Sparse(TransformerMixin, BaseEstimator):
    """Returns a sparse matrix, as encoders do."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return csr_array(X)


SAME_WIDTH = {
    "standard": StandardScaler(),
    "robust": RobustScaler(),
    "quantile": QuantileTransformer(n_quantiles=3),
    "function": FunctionTransformer(np.arcsinh, inverse_func=np.sinh),
    "lambda": FunctionTransformer(lambda X: X / 10),
    "pipeline": make_pipeline(RobustScaler(), StandardScaler()),
    "frames": StandardScaler().set_output(transform="pandas"),
    "sparse": Sparse(),
}


def brief(name, **more):
    cls, own = EACH[name]
    return cls(**{**BRIEF, **own, **more})


def assert_it_works(detector, path):
    """Fitted with labels and without, meta-fitted, cloned and saved."""
    X, y, query, _ = new_task()
    for rows, labels in ((X, y), (X[y == 0], None)):
        assert np.isfinite(clone(detector).fit(rows, labels).score_samples(query)).all()
    learned = detector.meta_fit(make_family(4))
    expected = learned.fit(X, y).score_samples(query)
    assert np.isfinite(expected).all()
    learned.pretrained.save(path)
    for pretrained in (learned.pretrained, path, MetaState.load(path)):
        again = clone(learned).set_params(pretrained=pretrained).fit(X, y)
        np.testing.assert_array_equal(again.score_samples(query), expected)
    assert np.isfinite(learned.feature_scores(query[:3])).all()
    assert not hasattr(detector.scaler, "n_features_in_")  # clones were fitted


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "standard") for name in EACH), *(("maml", kind) for kind in SAME_WIDTH)],
)
def test_a_transformer_scales_each_support(name, kind, tmp_path):
    assert_it_works(brief(name, scaler=clone(SAME_WIDTH[kind])), tmp_path / "learned")


@pytest.mark.parametrize("name", EACH)
def test_a_transformer_may_change_the_number_of_columns(name, tmp_path):
    detector = brief(name, scaler=make_pipeline(StandardScaler(), PCA(2)))
    if name != "process":
        assert_it_works(detector, tmp_path / "learned")
        return
    for use in (detector.fit, lambda X: detector.meta_fit(make_family(4))):
        with pytest.raises(ValueError, match="2 columns for 5 features: a process needs one"):
            use(new_task()[0])


class Varying(TransformerMixin, BaseEstimator):
    """Keeps as many columns as the number of its rows tells."""

    def fit(self, X, y=None):
        self.n_ = 3 + len(X) % 2
        return self

    def transform(self, X):
        return X[:, : self.n_]


@pytest.mark.parametrize("name", ["pooled", "mlp", "maml", "residual maml"])
def test_columns_that_vary_from_support_to_support_are_refused(name):
    with pytest.raises(ValueError, match=r"same number for all, as PCA\(2\) does"):
        brief(name, scaler=Varying(), episodes_per_epoch=16).meta_fit(make_family(4))


def test_a_support_of_another_width_than_in_training_is_refused():
    X = new_task()[0]
    for name in ("mlp", "maml"):
        learned = brief(name, scaler=PCA(2)).meta_fit(make_family(4))
        learned.scaler.n_components = 3
        state = learned.pretrained
        told = {**state.architecture, "scaler": learned._architecture_value("scaler")}
        state = MetaState(state.detector, told, state.arrays, 5, info=state.info)
        with pytest.raises(ValueError, match="same number for all"):
            learned.set_params(pretrained=state).fit(X)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda X: X * np.nan, "returned NaN or infinity"),
        (lambda X: X + np.inf, "returned NaN or infinity"),
        (lambda X: X[:-1], "returned an array of shape"),
        (lambda X: X[:, 0], "returned an array of shape"),
    ],
)
@pytest.mark.parametrize("name", EACH)
def test_rows_that_a_transformer_breaks_are_refused_by_its_name(name, function, message):
    X, y, _, _ = new_task()
    detector = brief(name, scaler=FunctionTransformer(function))
    for use in (lambda: detector.fit(X, y), lambda: detector.meta_fit(make_family(4))):
        with pytest.raises(ValueError, match=rf"scaler=FunctionTransformer.* {message}"):
            use()
    assert detector.pretrained is None
    assert not hasattr(detector, "offset_")


def test_predictions_need_a_transformer_that_can_be_inverted():
    X = new_task()[0]
    detector = NeuralProcessDetector(max_epochs=0, scaler=Normalizer()).fit(X)
    with pytest.raises(ValueError, match=r"scaler=Normalizer\(\) has no inverse_transform"):
        detector.predict_distribution(X)


def test_a_function_is_told_by_its_name_and_not_by_its_place_in_memory():
    def scaler():
        return FunctionTransformer(lambda X: X)

    told = [ProtoNetDetector(scaler=scaler())._architecture_value("scaler") for _ in range(2)]
    assert told[0] == told[1]
    assert "0x" not in told[0]

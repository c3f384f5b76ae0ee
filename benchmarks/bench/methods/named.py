"""Name the baselines of each protocol, with what makes each of them from a seed.

Names ending in ``_scaled`` see features centred and divided by the spread of the support normals;
names ending in ``_raw`` see them as they are; the trees do not mind.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from bench.methods.base import ColumnScaled, Imputed, Scaled, ScoreSum
from bench.methods.deep import DeepSAD, DevNet
from bench.methods.libraries import XGBOD, CatBoost, PyOD
from bench.methods.support import (
    Discriminant,
    GaussianProcesses,
    Logistic,
    Mahalanobis,
    NanNeighbours,
    NeighbourRatio,
    Neighbours,
    Regressions,
    Trees,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - importing it allows the class
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

Maker = Callable[[int], Any]  # of a seed

KNN, LEDOIT_WOLF = "PyOD KNN", "Ledoit-Wolf Mahalanobis"
PYOD = {
    KNN: "knn",
    "PyOD LOF": "lof",
    "PyOD IForest": "iforest",
    "PyOD ECOD": "ecod",
    "PyOD COPOD": "copod",
    "PyOD HBOS": "hbos",
    "PyOD GMM": "gmm",
    "PyOD OCSVM": "ocsvm",
}
GP = "Gaussian process per feature"
GP_MOST_ROWS, GP_MOST_FEATURES = 200, 16
ALSO_ON_TABLES = (
    "maha_scaled",
    "knn1_scaled",
    "ratio_scaled",
    "logistic_scaled",
    "forest",
    "pyod_knn_scaled",
    "pyod_lof_scaled",
    "pyod_iforest",
    "pyod_ocsvm_scaled",
    "pyod_gmm_scaled",
)
SLOW = frozenset({"pyod_lunar"})

SUPPORT_BASELINES: dict[str, Maker] = {
    "maha_raw": lambda seed: Mahalanobis(),
    "maha_scaled": lambda seed: Scaled(Mahalanobis()),
    "knn1_raw": lambda seed: Neighbours(1),
    "knn1_scaled": lambda seed: Scaled(Neighbours(1)),
    "knn5_raw": lambda seed: Neighbours(5),
    "knn5_scaled": lambda seed: Scaled(Neighbours(5)),
    "ratio_raw": lambda seed: NeighbourRatio(),
    "ratio_scaled": lambda seed: Scaled(NeighbourRatio()),
    "maha+lda_raw": lambda seed: ScoreSum(Mahalanobis(), Discriminant()),
    "maha+lda_scaled": lambda seed: ScoreSum(Scaled(Mahalanobis()), Scaled(Discriminant())),
    "logistic_scaled": lambda seed: Scaled(Logistic()),
    "forest": lambda seed: Trees("forest", seed),
    "extratrees": lambda seed: Trees("extra", seed),
    "pyod_knn_raw": lambda seed: PyOD("knn"),
    "pyod_knn_scaled": lambda seed: Scaled(PyOD("knn")),
    "pyod_lof_raw": lambda seed: PyOD("lof"),
    "pyod_lof_scaled": lambda seed: Scaled(PyOD("lof")),
    "pyod_iforest": lambda seed: PyOD("iforest", seed),
    "pyod_ocsvm_raw": lambda seed: PyOD("ocsvm"),
    "pyod_ocsvm_scaled": lambda seed: Scaled(PyOD("ocsvm")),
    "pyod_gmm_raw": lambda seed: PyOD("gmm", seed),
    "pyod_gmm_scaled": lambda seed: Scaled(PyOD("gmm", seed)),
    "pyod_lunar": lambda seed: Scaled(PyOD("lunar", seed)),
}


def baselines_of_splits() -> dict[str, Maker]:
    """Name the baselines of tables split in two; CatBoost and XGBOD only where installed."""
    makers: dict[str, Maker] = {name: SUPPORT_BASELINES[name] for name in ALSO_ON_TABLES}
    makers |= {
        "pyod_ecod": lambda seed: PyOD("ecod", seed),
        "pyod_pca": lambda seed: Scaled(PyOD("pca", seed)),
        "extratrees_log": lambda seed: ColumnScaled(Trees("extra", seed), compress=True),
        "deepsad": lambda seed: Scaled(DeepSAD(seed)),
        "devnet": lambda seed: Scaled(DevNet(seed)),
    }
    if find_spec("xgboost"):
        makers["xgbod"] = lambda seed: Scaled(XGBOD(seed))
    if find_spec("catboost"):
        makers["catboost"] = lambda seed: CatBoost(seed)
    return makers


def table_baselines(
    lunar: bool = False, gp: bool = False, compress: bool = False
) -> dict[str, Maker]:
    """Name the baselines of one table without labels."""
    names = {**PYOD, "PyOD LUNAR": "lunar"} if lunar else PYOD
    makers: dict[str, Maker] = {
        name: lambda seed, code=code: ColumnScaled(PyOD(code, seed), compress)
        for name, code in names.items()
    }
    makers[LEDOIT_WOLF] = lambda seed: ColumnScaled(Mahalanobis(), compress)
    makers["closed-form regressions"] = lambda seed: ColumnScaled(Regressions(), compress)
    if gp:
        makers[GP] = lambda seed: ColumnScaled(GaussianProcesses(), compress)
    return makers


def imputing_baselines() -> dict[str, Maker]:
    """Name the baselines for rows with missing values."""
    imputers: dict[str, Maker] = {
        "mean": lambda seed: SimpleImputer(keep_empty_features=True),
        "KNNImputer": lambda seed: KNNImputer(keep_empty_features=True),
        "IterativeImputer": lambda seed: IterativeImputer(
            random_state=seed, keep_empty_features=True
        ),
    }
    bases = {KNN: lambda seed: PyOD("knn", seed), LEDOIT_WOLF: lambda seed: Mahalanobis()}
    makers: dict[str, Maker] = {
        f"{how}, {name}": lambda seed, impute=impute, make=make: ColumnScaled(
            Imputed(impute(seed), make(seed))
        )
        for name, make in bases.items()
        for how, impute in imputers.items()
    }
    makers["nan-Euclidean KNN"] = lambda seed: ColumnScaled(NanNeighbours())
    return makers


def suits(name: str, n: int, n_features: int) -> bool:
    """Tell whether a method can be run on a support in reasonable time."""
    return name != GP or (n <= GP_MOST_ROWS and n_features <= GP_MOST_FEATURES)

"""Define the default weights of evidence about any table, and which evidence applies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._evidence.kinds import FAMILY, LATER, TABULAR, Evidence
from ..._evidence.table_anomalies import ANOMALIES
from ..._evidence.table_normals import NEAREST
from ..._typing import Array

KINDS = "kinds"  # array of a state that names the evidence it weighs
_GROUPS: dict[str, tuple[str, ...]] = {
    "nearest": tuple(NEAREST),
    "nearest_l1": tuple(name for name in NEAREST if name.endswith("l1")),
    "side": ("tails_side",),
    "conditional": ("conditional_compressed", "conditional_gaussian", "conditional_most"),
    "ratio": tuple(name for name in ANOMALIES if name.startswith("ratio")),
    "subspaces": ("subspaces_compressed", "subspaces_gaussian"),
    "columns": ("column_likelihoods",),
    "outlying": ("column_likelihoods_outlying",),
    "discriminant": ("discriminant_compressed", "discriminant_gaussian"),
    "diagonal": ("discriminant_diagonal_compressed", "discriminant_diagonal_gaussian"),
    "centre": ("close_centre",),
    "forest": ("forest",),
    "wide": ("forest_wide",),
    "machine": ("kernel_machine_gaussian",),
}
# shares of groups for a table: without labels, with ten normals and with fifty; with one label, ten
_TABLE = (
    {"nearest": 0.75, "nearest_l1": 0.2, "side": 0.05},
    {"nearest": 0.9, "side": 0.1},
    {
        "nearest": 0.2, "ratio": 0.31, "subspaces": 0.02, "columns": 0.02, "outlying": 0.13,
        "conditional": 0.06, "forest": 0.05, "wide": 0.08, "machine": 0.13,
    },
    {
        "nearest": 0.08, "ratio": 0.07, "subspaces": 0.06, "columns": 0.03, "discriminant": 0.06,
        "diagonal": 0.06, "centre": 0.04, "forest": 0.16, "wide": 0.24, "machine": 0.2,
    },
)  # fmt: skip
_EMBEDDING = ({"mahalanobis_raw": 0.7, "off_axis": 0.3},) * 2 + (
    {"mahalanobis_raw": 0.7, "off_axis": 0.3, "discriminant_raw": 0.2},
    {"mahalanobis_raw": 0.7, "off_axis": 0.3, "discriminant_raw": 0.6},
)


def kinds_of(arrays: Mapping[str, Array]) -> tuple[Evidence, ...]:
    """List the evidence that a state weighs: for any table, or for a family of own columns.

    A state that names none holds weights of the first kinds there were.
    """
    if KINDS in arrays:
        names = arrays[KINDS].tobytes().decode("ascii").split()
        return tuple(FAMILY[name] for name in names)
    if "closed" not in arrays:
        return tuple(TABULAR.values())
    first = [e for name, e in FAMILY.items() if name not in LATER]
    return tuple(first[: arrays["closed"].shape[-1]])


def names_array(names: Iterable[str]) -> NDArray[np.uint8]:
    """Return the array by which a state names its evidence: letters as numbers, (n_letters,)."""
    return np.frombuffer(" ".join(names).encode("ascii"), dtype=np.uint8).copy()


def closed_form() -> Array:
    """Make the default weights: (2, 4, n_evidence).

    The first axis is tables and embeddings; the second ten normals and fifty without labels, one
    labelled anomaly and ten. Without labels the rows of a table are scored by the mean distance to
    their nearest neighbours in all coordinates, and a little by how far their values lie to one
    side; with more labels, classifiers and other evidence that separates anomalies from normals
    get more weight.
    """
    tables = [dict.fromkeys(TABULAR, 0.0) | _spread_over_members(shares) for shares in _TABLE]
    embeddings = [dict.fromkeys(TABULAR, 0.0) | dict(shares) for shares in _EMBEDDING]
    return np.array([[list(part.values()) for part in parts] for parts in (tables, embeddings)])


def _spread_over_members(shares: Mapping[str, float]) -> dict[str, float]:
    """Divide the share of each group by its members; a kind in several groups gets the sum."""
    weights: dict[str, float] = {}
    for group, share in shares.items():
        names = _GROUPS[group]
        for name in names:
            weights[name] = weights.get(name, 0.0) + share / len(names)
    return weights


def default_arrays() -> dict[str, Any]:
    """Return the arrays of a state that has the default weights alone."""
    return {"closed": closed_form(), "departs": np.zeros((2, 2)), KINDS: names_array(TABULAR)}


def applicable(kinds: Sequence[Evidence] = tuple(TABULAR.values())) -> Array:
    """Mark the evidence that applies: (2, 2, n_evidence), 1 where it does.

    The first axis is tables and embeddings, the second supports without and with labelled
    anomalies.
    """
    return np.array([
        [[float(e.applies(embedding, k)) for e in kinds] for k in (0, 1)]
        for embedding in (False, True)
    ])  # fmt: skip

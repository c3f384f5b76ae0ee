"""Define the default weights of evidence about any table, and which evidence applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..._evidence.kinds import FAMILY, TABULAR, Evidence
from ..._evidence.table_anomalies import ANOMALIES
from ..._evidence.table_normals import NEAREST
from ..._typing import Array


def kinds_of(arrays: Mapping[str, Array]) -> tuple[Evidence, ...]:
    """List the evidence that a state weighs: for any table, or for a family of own columns."""
    n_kinds = arrays["closed"].shape[-1] if "closed" in arrays else len(TABULAR)
    return tuple(FAMILY.values())[:n_kinds]


def closed_form() -> Array:
    """Make the default weights: (2, 3, n_evidence).

    The first axis is tables and embeddings, the second no labelled anomaly, one and ten. Without
    labels the rows of a table are scored by the mean distance to their nearest neighbours in all
    coordinates; with more labels, trees and other evidence that separates anomalies from normals
    get more weight.
    """
    ratios = [name for name in ANOMALIES if name.startswith("ratio")]
    rules = [n for n in ANOMALIES if n.startswith(("subspaces", "column", "discriminant"))]

    def shares(near: float, ratio: float, rule: float, forest: float) -> dict[str, float]:
        parts = ((NEAREST, near), (ratios, ratio), (rules, rule), (("forest",), forest))
        return {name: share / len(names) for names, share in parts for name in names}

    table = shares(1.0, 0.0, 0.0, 0.0), shares(0.25, 0.4, 0.2, 0.15), shares(0.1, 0.25, 0.25, 0.4)
    one = {"mahalanobis_raw": 0.7, "off_axis": 0.3}
    embedding = one, {**one, "discriminant_raw": 0.2}, {**one, "discriminant_raw": 0.6}
    return np.array([
        [[part.get(name, 0.0) for name in TABULAR] for part in parts]
        for parts in (table, embedding)
    ])  # fmt: skip


def applicable(kinds: Sequence[Evidence] = tuple(TABULAR.values())) -> Array:
    """Mark the evidence that applies: (2, 2, n_evidence), 1 where it does.

    The first axis is tables and embeddings, the second supports without and with labelled
    anomalies.
    """
    return np.array([
        [[float(e.applies(embedding, k)) for e in kinds] for k in (0, 1)]
        for embedding in (False, True)
    ])  # fmt: skip

"""Closed-form evidence that a row is anomalous, given a support: larger = more anomalous.

Each piece of evidence is a function ``(support, rows) -> (n_rows,)``. Evidence has no learned
parameters of its own; :class:`CalibratedEvidence` puts all of it on one scale by the scores that
the support's normals get when they are left out, and a detector learns how to mix it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._typing import Array
from .family_anomalies import (
    discriminant_pooled,
    discriminant_raw,
    discriminant_scaled,
    ratio_scaled,
    subspace_ratio,
)
from .family_normals import (
    coordinatewise,
    directions_pooled,
    directions_scaled,
    mahalanobis_pooled,
    mahalanobis_raw,
    mahalanobis_scaled,
    nearest_pooled,
    nearest_relevant,
    nearest_scaled,
    off_axis,
    off_axis_pooled,
    own_over_pooled,
)
from .support import QueryRows, Support
from .table_anomalies import ANOMALIES
from .table_classifiers import CLASSIFIERS
from .table_normals import NORMALS, EvidenceFunction, reads_columns


@dataclass(frozen=True)
class Evidence:
    """Describe one kind of evidence and what it needs.

    Attributes
    ----------
    name : str
        Name by which a user picks it.
    function : callable
        ``(support, rows) -> (n_rows,)``, larger = more anomalous.
    spread : float
        Typical standard deviation of its left-out scores: what a support of two or three rows,
        whose own says little, falls back on.
    needs_anomalies : bool
        Whether it applies only when the support has anomalies.
    needs_pooled : bool
        Whether it needs statistics of training tasks.
    tables_only, embeddings_only : bool
        Whether it applies to no embedding, whose single coordinates mean nothing, or to no table,
        whose columns share no unit.
    """

    name: str
    function: EvidenceFunction
    spread: float = 1.0
    needs_anomalies: bool = False
    needs_pooled: bool = False
    tables_only: bool = False
    embeddings_only: bool = False

    def applies(self, embedding: bool, n_anomalous: int, has_pooled: bool = True) -> bool:
        """Return whether it applies to a support of that kind."""
        if self.needs_pooled and not has_pooled:
            return False
        if self.tables_only if embedding else self.embeddings_only:
            return False
        return n_anomalous > 0 or not self.needs_anomalies


@dataclass(frozen=True)
class OwnFunction:
    """Call a function of the user, and refuse what no evidence is.

    Attributes
    ----------
    function : callable
        ``(support, rows) -> (n_rows,)``.
    name : str
        Name of the evidence.
    """

    function: EvidenceFunction
    name: str

    def __call__(self, support: Support, rows: QueryRows) -> Array:
        """Compute the evidence; a ValueError names it where it is not one finite number a row."""
        n = len(rows.X)
        scores = np.asarray(self.function(support, rows))
        if scores.shape != (n,) or scores.dtype.kind not in "biuf":
            raise ValueError(
                f"evidence {self.name!r} returned an array of shape {scores.shape} and type "
                f"{scores.dtype} for {n} rows: it has to return one number for each."
            )
        if not np.isfinite(scores).all():
            raise ValueError(
                f"evidence {self.name!r} returned NaN or infinity for "
                f"{int((~np.isfinite(scores)).sum())} of {n} rows."
            )
        return scores

    def prepare(self, support: Support) -> None:
        """Let models of the user be fitted before rows are scored."""
        if hasattr(self.function, "_prepare"):
            self.function._prepare(support)


EVIDENCE: dict[str, Evidence] = {
    e.name: e
    for e in (
        Evidence("mahalanobis_raw", mahalanobis_raw, 0.75),
        Evidence("mahalanobis_scaled", mahalanobis_scaled, 1.3),
        Evidence("mahalanobis_pooled", mahalanobis_pooled, 0.5, needs_pooled=True),
        Evidence("nearest_pooled", nearest_pooled, 0.3, needs_pooled=True),
        Evidence("nearest_scaled", nearest_scaled, 0.7),
        Evidence("nearest_relevant", nearest_relevant, 0.7, needs_pooled=True, tables_only=True),
        Evidence("coordinatewise", coordinatewise, 0.3, tables_only=True),
        Evidence("off_axis", off_axis, 0.5),
        Evidence("off_axis_pooled", off_axis_pooled, 0.5, needs_pooled=True),
        Evidence("own_over_pooled", own_over_pooled, 0.3, needs_pooled=True),
        Evidence("directions_pooled", directions_pooled, 1.0, needs_pooled=True),
        Evidence("directions_scaled", directions_scaled, 1.0, needs_pooled=True),
        Evidence("subspace_ratio", subspace_ratio, 0.075, True),
        Evidence("ratio_scaled", ratio_scaled, 0.085, True),
        Evidence("discriminant_raw", discriminant_raw, 6.0, True),
        Evidence("discriminant_scaled", discriminant_scaled, 12.0, True),
        Evidence("discriminant_pooled", discriminant_pooled, 1.0, True, True),
    )
}

# evidence about rows of any table, whatever its columns are
TABULAR: dict[str, Evidence] = {
    **{
        name: Evidence(name, function, tables_only=reads_columns(name))
        for name, function in NORMALS.items()
    },
    **{
        name: Evidence(name, function, needs_anomalies=True, tables_only=reads_columns(name))
        for name, function in {**ANOMALIES, **CLASSIFIERS}.items()
    },
    **{
        name: replace(EVIDENCE[name], embeddings_only=True)
        for name in ("mahalanobis_raw", "off_axis", "discriminant_raw")
    },
}

# the same, and what tasks that share their columns have in common
POOLED: dict[str, Evidence] = {name: e for name, e in EVIDENCE.items() if e.needs_pooled}
FAMILY: dict[str, Evidence] = TABULAR | POOLED
# evidence of a family that states which do not name theirs know nothing of
LATER = ("column_likelihoods_outlying", "forest_wide", "kernel_machine_gaussian")


def resolve_evidence(
    evidence: Sequence[str | EvidenceFunction] | str | None,
) -> tuple[Evidence, ...]:
    """Return the evidence that names and functions stand for.

    None and "all" stand for all that is built in, "support" for what needs no statistics of other
    tasks. A function of one's own may carry the attribute ``needs_anomalies = True``.
    """
    if evidence is None or isinstance(evidence, str):
        evidence = ["all" if evidence is None else evidence]
    resolved: list[Evidence] = []
    for item in evidence:
        if isinstance(item, str) and item in ("all", "support"):
            resolved += [e for e in EVIDENCE.values() if item == "all" or not e.needs_pooled]
        elif isinstance(item, str) and item in EVIDENCE:
            resolved.append(EVIDENCE[item])
        elif isinstance(item, type):
            raise ValueError(
                f"evidence holds the class {item.__name__}: give an instance, {item.__name__}(...)."
            )
        elif callable(item):
            if hasattr(item, "_check_parameters"):
                item._check_parameters()
            needs = bool(getattr(item, "needs_anomalies", False))
            name = getattr(item, "__name__", type(item).__name__)
            resolved.append(Evidence(name, OwnFunction(item, name), needs_anomalies=needs))
        else:
            raise ValueError(
                f"evidence holds {item!r}: give functions (support, rows) -> scores, 'all', "
                f"'support' or names out of {', '.join(EVIDENCE)}."
            )
    names = [e.name for e in resolved]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not resolved:
        raise ValueError(
            f"evidence must name each kind once and at least one: got {evidence!r}"
            + (f", with {', '.join(twice)} twice. Models take name=..." if twice else ".")
        )
    return tuple(resolved)

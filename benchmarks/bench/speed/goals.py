"""Put what was measured beside what was to be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.speed import families, fresh, one_table, sections, steps
from bench.speed.timing import Section

TIMES_KNN = f"time / {one_table.KNN}'s"


@dataclass(frozen=True)
class Goal:
    """Name a figure of a section, and the most it may be, or the least."""

    what: str
    section: str
    column: str
    where: dict[str, Any]
    unit: str
    most: float | None = None
    least: float | None = None
    scale: float = 1.0  # that the figure is multiplied by

    def row(self, measured: Mapping[str, Section]) -> dict[str, Any] | None:
        """Return the row of the table, None where the section was not measured."""
        if self.section not in measured:
            return None
        found = measured[self.section].figure(self.column, self.where)
        about = {"what": self.what, "unit": self.unit, "goal": self._shown_goal()}
        if found is None:
            return {**about, "figure": "-", "reached": "not measured"}
        figure = self.scale * found
        reached = figure <= self.most if self.most is not None else figure >= (self.least or 0.0)
        return {**about, "figure": f"{figure:.3g}", "reached": "yes" if reached else "no"}

    def _shown_goal(self) -> str:
        return f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"


def _on(support: int, method: str) -> dict[str, Any]:
    return {"support": str(one_table.SCORED[support]), "method": method}


def _fit(support: int, method: str) -> dict[str, Any]:
    return {"support": str(one_table.FITTED[support]), "method": method}


def _goals() -> list[Goal]:
    """List what was to be reached, section by section."""
    t, no_labels, labels, small = one_table, 0, 1, 2
    scored = [
        Goal(f"scoring, {t.SCORED[no_labels]}: {t.IN_CONTEXT}", "scoring", TIMES_KNN,
             _on(no_labels, t.IN_CONTEXT), "x KNN", most=6),
        Goal(f"scoring, {t.SCORED[labels]}: {t.IN_CONTEXT}", "scoring", TIMES_KNN,
             _on(labels, t.IN_CONTEXT), "x KNN", most=8),
        Goal(f"scoring, {t.SCORED[no_labels]}: {t.PROTOTYPES}", "scoring", TIMES_KNN,
             _on(no_labels, t.PROTOTYPES), "x KNN", most=2),
        Goal(f"scoring, {t.SCORED[small]}: {t.PROTOTYPES}", "scoring", "1000 rows / s",
             _on(small, t.PROTOTYPES), "1000 rows / s", least=250),
    ]  # fmt: skip
    single = [
        Goal(f"one row, {t.SCORED[support]}: {method}", "one_row", "ms",
             _on(support, method), "ms", most=most)
        for support, method, most in (
            (no_labels, t.PROTOTYPES, 0.5),
            (no_labels, t.IN_CONTEXT, 1.0),
            (labels, t.IN_CONTEXT, 1.5),
            (no_labels, t.PROCESS, 5.0),
        )
    ]  # fmt: skip
    fits = [
        Goal(f"fit, {t.FITTED[support]}: {method}", "fits", "ms",
             _fit(support, method), "ms", most=most)
        for support, method, most in (
            (0, t.IN_CONTEXT, 50.0),
            (2, t.IN_CONTEXT, 200.0),
            (2, t.PROCESS, 1000.0),
        )
    ]  # fmt: skip
    trained = [
        Goal(f"fit, 200 x {d} with threshold: {kind}", "processes", "fit, s", {"kind": kind}, "s",
             most=most)
        for kind, d, most in (("tnp", 8, 4.0), ("anp", 8, 2.0), ("cnp", 8, 2.0),
                              ("convcnp", 32, 6.0))
    ]  # fmt: skip
    meta_fitted = [
        Goal(f"meta_fit: {name}", "meta_fits", "s", {"method": name}, "s", most=most)
        for name, most in zip(families.FITS, (6.0, 30.0, 154.0, 20.0), strict=True)
    ]
    second = {"order": "second"}
    steps_taken = [
        Goal("an adaptation, beside a bare loop", "adaptations", "time / the loop's",
             {"method": steps.OURS}, "x the loop", most=1),
        Goal("the per-task loop's second-order meta-step, beside ours", "meta_steps",
             "time / ours", {**second, "method": steps.MODULE_LOOP}, "x ours", least=8),
        Goal("vmap's second-order meta-step, beside ours", "meta_steps", "time / ours",
             {**second, "method": steps.VMAP}, "x ours", least=2),
    ]  # fmt: skip
    alone = [
        Goal("the first training in a process, without what the second costs", "first_training",
             "s", {"what": sections.FIRST_ALONE}, "s", most=0.5),
    ]  # fmt: skip
    busy = [
        Goal(f"busy cores, default threads beside one: {name}", "busy_cores", sections.RATIO,
             {"fit": name}, "x one thread", most=1.1)
        for name in fresh.FITS
    ]  # fmt: skip
    return [*scored, *single, *fits, *trained, *meta_fitted, *steps_taken, *alone, *busy]


def goals(measured: Mapping[str, Section]) -> Section | None:
    """Return the table of goals of the sections that were measured, None where they have none.

    Parameters
    ----------
    measured : mapping of str to Section
        By the name of the section.
    """
    rows = [row for goal in _goals() if (row := goal.row(measured)) is not None]
    about = "Each figure is from the table of its section below."
    return Section("What was to be reached", about, rows, digits=".3g") if rows else None

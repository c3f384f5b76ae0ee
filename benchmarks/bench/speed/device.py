"""Meta-fit and fit detectors on a device and on the CPU, and compare what they learned.

Every comparison stands for itself: one that fails is reported with its traceback, and the others
go on.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
import re
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bench.options import Refused
from bench.report.conditions import conditions
from bench.report.records import Result
from bench.speed.device_cases import CASES, TF32, Case, Learned, Rows, learn, make_rows
from bench.speed.elsewhere import scores_elsewhere
from tqdm import tqdm

WEIGHTS, SCORES = 1e-3, 1e-4  # largest differences that pass
ALL = "all"  # for what is no case
MEMORY = 2**20  # bytes that may stay on the device
UNSEEN = re.compile(  # weights that move all prototypes, or all logits of a softmax, alike
    r"state embed\.\d+\.bias|adapted (normal|anomalous)|.*(to_key\.bias|in_proj_bias|\.keys\d+)"
)
PACKAGES = ("sklearn-fsad", "torch", "skorch", "numpy", "scikit-learn", "numba")
ABOUT = (
    "Each detector learns the same on {device} and on the CPU, from the same `random_state`: on "
    "the CPU, twice on {device}, and on the CPU again. Weights are those of the state and of the "
    "adaptation; their largest difference is absolute up to weights of one, and relative above; "
    "{weights:g} passes. Weights that no score depends on, such as the biases of keys in an "
    "attention, follow rounding errors: they are shown apart and not judged. Scores of {rows:,} "
    "rows differ by that share of their standard deviation; {scores:g} passes."
)
ABOUT_TIMES = (
    "Wall time in seconds of the second of two runs, the CPU with one thread: `meta_fit`, `fit` "
    "and `score_samples` of {rows:,} rows. Scoring is on the CPU always."
)


@dataclass
class Checks:
    """Collect what was found, and the tracebacks of what failed."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    def add(self, case: str, what: str, check: Callable[[], tuple[bool, str]]) -> None:
        """Run a check that returns whether it passed, and what it found."""
        try:
            passed, found = check()
        except Exception as error:  # of any kind: it is reported, and the other checks go on
            passed, found = False, f"{type(error).__name__}"
            self.tracebacks.append(f"{case}, {what}:\n\n{traceback.format_exc()}")
        verdict = "passed" if passed else "FAILED"
        self.rows.append({"case": case, "what": what, "found": found, "verdict": verdict})

    @property
    def failed(self) -> bool:
        """Return whether any check failed."""
        return any(row["verdict"] != "passed" for row in self.rows)


def run_on_device(device: str) -> Result:
    """Compare a device with the CPU.

    Parameters
    ----------
    device : str
        As the detectors take it.

    Raises
    ------
    Refused
        If this machine does not have the device.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise Refused(f"device {device!r} cannot be used here: {reason}") from error
    rows, checks, before = make_rows(), Checks(), _settings(device)
    with tqdm(total=4 * len(CASES), desc="cases") as bar:
        first = learn_all("cpu", rows, checks, bar)
        once = learn_all(device, rows, checks, bar)
        there = learn_all(device, rows, checks, bar)
        again = learn_all("cpu", rows, checks, bar)
    for case in [case for case in CASES if case in first and case in there]:
        compare(checks, case, first[case], there[case])
    for case in [case for case in CASES if case in once and case in there]:
        checks.add(case, "twice on the device", lambda c=case: _alike(once[c], there[c]))
    for case in [case for case in CASES if case in first and case in again]:
        checks.add(case, "the CPU as before", lambda c=case: _as_before(first[c], again[c]))
    checks.add(ALL, "settings of torch as before", lambda: _same(before, _settings(device)))
    default = "fits on the CPU beside that default device"
    checks.add(ALL, default, lambda: _beside_default(device, first, rows))
    for case in [case for case in TF32 if case in first]:
        asked = "learns where TF32 is asked for"
        checks.add(case, asked, lambda c=case: _with_tf32(CASES[c], device, rows, first[c]))
    load_elsewhere(checks, there, rows, hide=device != "cpu")
    times = [_times(case, again.get(case), there.get(case)) for case in CASES]
    once.clear()
    there.clear()
    if device != "cpu":
        checks.add(ALL, "memory kept on the device", _memory_kept)
    text = report(device, checks, times, rows)
    return Result(f"speed_{device.replace(':', '_')}", f"On {device}", text, failed=checks.failed)


def learn_all(device: str, rows: Rows, checks: Checks, bar: Any) -> dict[str, Learned]:
    """Learn all cases on a device; one that fails is missing, and reported."""
    learned: dict[str, Learned] = {}

    def one(case: str) -> tuple[bool, str]:
        learned[case] = learn(CASES[case], device, rows)
        return True, ""

    for case in CASES:
        checks.add(case, f"learns on {device}", lambda case=case: one(case))
        if checks.rows[-1]["verdict"] == "passed":
            del checks.rows[-1]  # what follows says more
        bar.update()
    return learned


def compare(checks: Checks, case: str, here: Learned, there: Learned) -> None:
    """Compare what was learned on the CPU and on a device."""
    checks.add(case, "decisions", lambda: _same(here.decisions, there.decisions))
    checks.add(case, "weights", lambda: _alike(here, there))
    checks.add(case, "scores", lambda: _within(_score_gap(here.scores, there.scores), SCORES))


def load_elsewhere(checks: Checks, there: Mapping[str, Learned], rows: Rows, hide: bool) -> None:
    """Load what was learned on a device in another process, from which CUDA is hidden."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def kept() -> tuple[bool, str]:
            with (folder / "rows.pickle").open("wb") as file:
                pickle.dump(rows, file)
            for case, learned in there.items():
                learned.keep(folder, case)
            return True, f"{len(there)} cases"

        checks.add(ALL, "pickles and states are written", kept)
        found: dict[str, Any] = {}

        def loaded() -> tuple[bool, str]:
            found.update(scores_elsewhere(folder, hide))
            return bool(found), f"{len(found)} pickles and states"

        checks.add(ALL, "a process without the device starts", loaded)
        for what, scores in found.items():
            case, kind = what.rsplit(", ", 1)
            checks.add(case, f"{kind} elsewhere", lambda c=case, s=scores: _equal(there[c], s))


# --- what is compared -----------------------------------------------------------------------------
def _weight_gaps(here: Learned, there: Learned) -> tuple[float, float]:
    """Return the largest differences of weights that scores depend on, and of the others."""
    if here.weights.keys() != there.weights.keys():
        raise ValueError(f"{sorted(here.weights)} there, {sorted(there.weights)} here")
    gaps: dict[bool, float] = {False: 0.0, True: 0.0}
    for name, weight in here.weights.items():
        other = there.weights[name]
        if weight.shape != other.shape:
            raise ValueError(f"{name} has the shapes {weight.shape} and {other.shape}")
        if weight.size:
            gap = float((np.abs(other - weight) / np.maximum(1.0, np.abs(weight))).max())
            unseen = UNSEEN.fullmatch(name) is not None
            gaps[unseen] = max(gaps[unseen], gap)
    return gaps[False], gaps[True]


def _score_gap(here: np.ndarray, there: np.ndarray) -> float:
    return float(np.abs(there - here).max() / here.std())


def _alike(here: Learned, there: Learned) -> tuple[bool, str]:
    gap, unseen = _weight_gaps(here, there)
    return gap <= WEIGHTS, f"{gap:.1e}" + (f", not seen {unseen:.1e}" if unseen else "")


def _within(gap: float, most: float) -> tuple[bool, str]:
    return bool(gap <= most), f"{gap:.1e}"


def _same(here: Any, there: Any) -> tuple[bool, str]:
    return here == there, "equal" if here == there else f"{here} here, {there} there"


def _as_before(first: Learned, again: Learned) -> tuple[bool, str]:
    """Return whether the CPU learns the same, to the bit, after the device was used."""
    weights, scores = max(_weight_gaps(first, again)), _score_gap(first.scores, again.scores)
    return weights == scores == 0.0, f"weights {weights:.1e}, scores {scores:.1e}"


def _equal(there: Learned, scores: Any) -> tuple[bool, str]:
    if isinstance(scores, str):
        raise RuntimeError(scores)
    return _within(_score_gap(there.scores, scores), 0.0)


def _settings(device: str) -> dict[str, Any]:
    """Return what a fit has to leave as it is."""
    found = {
        "generator": _digest(torch.get_rng_state()),
        "products": torch.backends.cuda.matmul.fp32_precision,
        "convolutions": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]  # torch has no stub
        "threads": torch.get_num_threads(),
    }
    if torch.device(device).type == "cuda":
        found["generator of the device"] = _digest(torch.cuda.get_rng_state(device))
    return found


def _digest(state: torch.Tensor) -> str:
    return hashlib.sha256(state.numpy().tobytes()).hexdigest()[:8]


def _beside_default(device: str, first: Mapping[str, Learned], rows: Rows) -> tuple[bool, str]:
    """Fit on the CPU while new tensors are made on the device."""
    gaps = {}
    torch.set_default_device(device)
    try:
        for case in [case for case in first if not CASES[case].meta]:
            gaps[case] = _score_gap(first[case].scores, learn(CASES[case], "cpu", rows).scores)
    finally:
        torch.set_default_device(None)
    return not any(gaps.values()), f"{len(gaps)} cases, scores {max(gaps.values()):.1e}"


def _with_tf32(case: Case, device: str, rows: Rows, first: Learned) -> tuple[bool, str]:
    """Learn where the user lets torch round products of float32: it must run, no more."""
    former = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        gap = _score_gap(first.scores, learn(case, device, rows).scores)
    finally:
        torch.set_float32_matmul_precision(former)
    return bool(np.isfinite(gap)), f"scores {gap:.1e}"


def _memory_kept() -> tuple[bool, str]:
    """Return what tensors hold on the device; the work space of cuBLAS is given back first."""
    gc.collect()
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        clear()
    kept, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return kept <= MEMORY, f"{kept:,} bytes, at most {most / 2**20:.0f} MiB before"


# --- the report -----------------------------------------------------------------------------------
def _by_case(found: list[dict[str, Any]]) -> str:
    """Return a table with a row for each case and a column for each check."""
    cells: dict[str, dict[str, str]] = {row["case"]: {} for row in found}
    for row in found:
        cells[row["case"]][row["what"]] = _shown(row)
    return (
        pd.DataFrame.from_dict(cells, orient="index").fillna("").to_markdown(disable_numparse=True)
    )


def _shown(row: Mapping[str, str]) -> str:
    return row["found"] if row["verdict"] == "passed" else f"**FAILED** {row['found']}"


def _times(case: str, here: Learned | None, there: Learned | None) -> dict[str, Any]:
    """Return the seconds of a case on both; none where it failed or is not meta-fitted."""
    row: dict[str, Any] = {"case": case}
    for part in ("meta_fit", "fit", "score"):
        for name, learned in (("CPU", here), ("device", there)):
            seconds = None if learned is None else learned.seconds.get(part)
            row[f"{part}, {name}"] = "" if seconds is None else f"{seconds:.3f}"
    return row


def report(device: str, checks: Checks, times: list[dict[str, Any]], rows: Rows) -> str:
    """Return all checks, times and tracebacks as Markdown."""
    name, packages = "the CPU", conditions("one thread on the CPU", PACKAGES)
    if torch.device(device).type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    passed = sum(row["verdict"] == "passed" for row in checks.rows)
    n = len(rows.query)
    parts = [
        f"{name}; {packages}",
        ABOUT.format(device=device, weights=WEIGHTS, scores=SCORES, rows=n),
        f"{passed} of {len(checks.rows)} checks passed.",
        _by_case([row for row in checks.rows if row["case"] != ALL]),
        "\n".join(f"- {r['what']}: {_shown(r)}" for r in checks.rows if r["case"] == ALL),
        f"## Times\n\n{ABOUT_TIMES.format(rows=n)}",
        pd.DataFrame(times).to_markdown(index=False, disable_numparse=True),
    ]
    if checks.tracebacks:
        shown = ["```\n" + text.rstrip() + "\n```" for text in checks.tracebacks]
        parts += ["## What failed", *shown]
    return "\n\n".join(parts)

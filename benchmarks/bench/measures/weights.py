"""Damage weights files at random and count those taken for whole, and those executed."""

from __future__ import annotations

import argparse
import collections
import json
import pickle
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from bench.options import add_options
from bench.report.records import Result
from tqdm import tqdm

import sklearn_fsad
from sklearn_fsad import MetaState
from sklearn_fsad.exceptions import WeightsError

SHIPPED = Path(sklearn_fsad.__file__).parent / "weights" / "tabular-v2.safetensors"
FINE = (": refused", ": the same")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of damaged weights."""
    add_options(parser, seed=0)
    parser.add_argument("--n", type=int, default=100_000, help="damaged copies")


def run(args: argparse.Namespace) -> Iterator[Result]:
    """Damage weights files at random and see that none is accepted, and none executed."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(SHIPPED.read_bytes(), args.n, args.seed, Path(folder))
    seconds = time.perf_counter() - start
    bad = sum(n for name, n in outcomes.items() if not name.endswith(FINE))
    lines = [
        f"{args.n:,} damaged copies of `{SHIPPED.name}` in {seconds:.0f} s: {bad} accepted or met "
        f"with a wrong error, {int(Canary.woken)} executed.",
        "",
        *(f"- {name}: {n:,}" for name, n in sorted(outcomes.items())),
    ]
    failed = bool(bad) or Canary.woken
    yield Result("fuzz_weights", "Damaged weights files", "\n".join(lines), failed=failed)


Damage = Callable[[bytes, np.random.Generator], bytes]


class Canary:
    """Tells when it is unpickled."""

    woken = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return wake, ()


def wake() -> None:
    """Tell that a file was unpickled."""
    Canary.woken = True


def flipped_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with up to eight bits turned."""
    found = np.frombuffer(data, dtype=np.uint8).copy()
    at = rng.integers(len(found), size=rng.integers(1, 9))
    np.bitwise_xor.at(found, at, (1 << rng.integers(8, size=len(at))).astype(np.uint8))
    return found.tobytes()


def overwritten(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with a stretch of others."""
    start, n = rng.integers(len(data)), rng.integers(1, 200)
    return data[:start] + rng.bytes(n) + data[start + n :]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """Return only a beginning."""
    return data[: rng.integers(len(data))]


def longer(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with more behind them or within."""
    at = rng.choice([len(data), rng.integers(len(data))])
    return data[:at] + rng.bytes(rng.integers(1, 100)) + data[at:]


def exchanged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with two stretches in each other's place."""
    n = int(rng.integers(1, 300))
    a, b = np.sort(rng.integers(len(data) - n, size=2))
    b = max(b, a + n)
    return data[:a] + data[b : b + n] + data[a + n : b] + data[a : a + n] + data[b + n :]


def other_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with one entry of its header changed or gone, the lengths being right."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = rng.choice(sorted(header))
    entry = header[name]
    key = rng.choice(sorted(entry))
    values = [None, -1, 0, 1e300, "F64", "x" * 99, [], [2**40, 2**40], {}, "{}", True]
    if rng.random() < 0.2:
        del header[name]
    elif rng.random() < 0.3:
        del entry[key]
    else:
        entry[key] = values[rng.integers(len(values))]
    changed = json.dumps(header).encode()
    return struct.pack("<Q", len(changed)) + changed + data[8 + size :]


def other_kind(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a pickle that would wake the canary, alone, before or behind the file."""
    payload = pickle.dumps(Canary())
    return (payload, payload + data, data + payload, data[:8] + payload)[rng.integers(4)]


DAMAGES: tuple[Damage, ...] = (
    flipped_bits,
    overwritten,
    cut,
    longer,
    exchanged,
    other_header,
    other_kind,
)


def fuzz(data: bytes, n: int, seed: int, folder: Path) -> collections.Counter[str]:
    """Count what becomes of n damaged copies of a file.

    Returns
    -------
    Counter
        By damage and outcome: ``refused``, ``the same`` where nothing that counts had changed,
        ``accepted`` or the name of an error that should not have come through.
    """
    path = folder / "weights.safetensors"
    path.write_bytes(data)
    whole = MetaState.load(path)
    outcomes: collections.Counter[str] = collections.Counter()
    for i in tqdm(range(n), "files", disable=n < 1000):
        rng = np.random.default_rng([seed, i])
        damage = DAMAGES[i % len(DAMAGES)]
        path.write_bytes(damage(data, rng))
        try:
            outcome = "the same" if MetaState.load(path) == whole else "accepted"
        except WeightsError:
            outcome = "refused"
        except Exception as error:
            outcome = type(error).__name__
        outcomes[f"{damage.__name__}: {outcome}"] += 1
    return outcomes

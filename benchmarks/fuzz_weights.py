"""Damage weights files at random and see that none is taken for whole, and none is executed.

python benchmarks/fuzz_weights.py
"""

from __future__ import annotations

import argparse
import collections
import json
import pickle
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import quality
from tqdm import tqdm

Damage = Callable[[bytes, np.random.Generator], bytes]


class Canary:
    """Says so if a file is unpickled."""

    woken = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return wake, ()


def wake() -> None:
    """Be noticed."""
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
    from sklearn_fsad import MetaState
    from sklearn_fsad.exceptions import WeightsError

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Returns
    -------
    int
        1 when a damaged file was accepted, executed, or met with another error than it should.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=quality.RESULTS)
    args = parser.parse_args(argv)
    if str(quality.CHECKOUT) not in sys.path:
        sys.path.append(str(quality.CHECKOUT))  # where the package is not installed
    import sklearn_fsad

    shipped = Path(sklearn_fsad.__file__).parent / "weights" / "tabular-v1.safetensors"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(shipped.read_bytes(), args.n, args.seed, Path(folder))
    seconds = time.perf_counter() - start
    bad = sum(n for name, n in outcomes.items() if not name.endswith((": refused", ": the same")))
    lines = [
        "# Damaged weights files", "",
        f"    {quality.command_line('fuzz_weights', argv)}", "",
        f"{args.n:,} damaged copies of `tabular-v1.safetensors` in {seconds:.0f} s: {bad} accepted "
        f"or met with a wrong error, {int(Canary.woken)} executed.", "",
        *(f"- {name}: {n:,}" for name, n in sorted(outcomes.items())),
    ]  # fmt: skip
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "fuzz_weights.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(bool(bad) or Canary.woken)


if __name__ == "__main__":
    sys.exit(main())

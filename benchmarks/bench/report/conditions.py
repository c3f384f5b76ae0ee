"""Tell the command, the machine and the versions that a result came from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
from collections.abc import Sequence

PACKAGES = ("sklearn-fsad", "numpy", "scikit-learn", "torch", "pyod")
NOT_SHOWN = ("--results", "--states")  # where a run was kept, which says nothing about it


def without_machine(word: str) -> str:
    """Turn an absolute path of the command line, or of ``--option=path``, into a relative one."""
    option, equals, path = word.rpartition("=")
    return option + equals + os.path.relpath(path) if os.path.isabs(path) else word


def command_line(argv: Sequence[str]) -> str:
    """Return the command of a run, without where it was kept and without absolute paths."""
    words = list(argv)
    for option in NOT_SHOWN:
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    kept = [word for word in words if not word.startswith(tuple(f"{o}=" for o in NOT_SHOWN))]
    return shlex.join(["python", "benchmarks/run.py", *map(without_machine, kept)])


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    known = {"python": platform.python_version()}
    for name in packages:
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return known


def conditions(threads: str = "one thread a fit", packages: Sequence[str] = PACKAGES) -> str:
    """Tell the machine and the versions of what ran on it in a sentence."""
    shown = ", ".join(f"{name} {found}" for name, found in versions(packages).items())
    shown = shown.replace("python", "Python", 1)
    return f"{os.cpu_count()} CPUs ({platform.machine()}), {threads}; {shown}."

"""Imports run downward: a module imports from its own room and from lower layers alone."""

import ast
from pathlib import Path

import pytest

import sklearn_fsad

ROOT = Path(sklearn_fsad.__file__).parent
LAYERS = [
    ["exceptions", "_typing", "_values", "_version", "_warn"],
    ["_input", "_onnx", "_stats", "_state", "thresholds"],
    ["tasks", "metrics", "evidence"],
    ["augmentation", "prior", "datasets", "_training"],
    ["_evidence"],
    ["_explain", "_choice"],
    ["_detectors.base"],
    ["_detectors.prototypes", "_detectors.maml", "_detectors.neural_process"]
    + ["_detectors.in_context"],
    ["base", "callbacks", "pipeline", "adapters", "model_selection", "series", "distillation"],
    ["plotting"],
    ["__init__"],
]
LAYER_OF = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
FILES = sorted(file for file in ROOT.rglob("*.py") if file.parent.name != "_detectors")


def room_of(module):
    """The room of a module, named by its parts below the package."""
    return ".".join(module[:2]) if module[0] == "_detectors" else module[0]


def modules_imported(file):
    """Parts of each module that a file imports, those inside functions too; not for types alone."""
    tree = ast.parse(file.read_text())
    for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    here = ("sklearn_fsad", *file.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        for parts in names if node not in for_types else []:
            if parts[0] == "sklearn_fsad":
                yield parts[1:]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_module_imports_its_own_room_and_lower_layers_alone(file):
    own = room_of(file.relative_to(ROOT).with_suffix("").parts)
    for module in modules_imported(file):
        room = room_of(module)
        assert room == own or LAYER_OF[room] < LAYER_OF[own], f"{own} imports {module}"


def test_the_root_holds_public_faces_and_little_else():
    files = [file.name for file in ROOT.iterdir() if file.is_file()]
    private = {name for name in files if name.startswith("_")}
    known = {"__init__.py", "_state.py", "_typing.py", "_values.py", "_version.py", "_warn.py"}
    assert private == known
    assert len(files) <= 15


def test_files_are_short():
    lengths = {file: len(file.read_text().splitlines()) for file in ROOT.rglob("*.py")}
    assert max(lengths.values()) <= 400, max(lengths, key=lengths.get)
    written = sorted(n for n in lengths.values() if n)
    assert written[len(written) // 2] < 150

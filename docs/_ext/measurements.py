"""Pages made of benchmarks/results, with titles for readers, and links of other pages to them."""

import re
from pathlib import Path

_DOCS = Path(__file__).parents[1]
_RESULTS = _DOCS.parent / "benchmarks" / "results"
_MADE = _DOCS / "generated" / "measurements"
# left out of the search: their command lines and tables would bury the pages that explain
_HEAD = "---\nnosearch: true\n---\n"
_INDEX = """# Measurements

All that the benchmarks wrote; [Benchmarks](../../benchmarks.md) is the summary.

```{toctree}
:maxdepth: 1

commands
%s
```
"""
# what parts of a file's name mean, longest first where one holds another
_WORDS = {
    "mvtec_resnet": "ResNet embeddings",
    "mvtec_vit": "ViT embeddings",
    "skab": "water pump",
    "adbench": "27 unrelated tables",
    "dependencies": "anomalies of one table without labels",
    "false_alarms": "false alarms on new normal rows",
    "explanations": "which column is to blame",
    "noise": "noisy training rows",
    "few_shot": "few labels",
    "few_labels": "few labels among unlabelled rows",
    "one_class": "normal rows only",
    "halves": "half of the normal rows",
    "seed_1": "other seed",
    "random": "tasks left out at random",
    "groups": "groups of recordings left out",
    "in_context": "InContextDetector",
    "maml": "MAMLDetector",
    "process": "NeuralProcessDetector",
    "mlp": "learned embedding",
    "kinds": "kinds of network",
    "scores": "kinds of score",
    "50": "50 normal rows",
}


def setup(app):
    """Make the pages before the build, and lead links to the results to them."""
    app.connect("builder-inited", _make_pages)
    app.connect("source-read", _link_to_made_pages)
    return {"parallel_read_safe": True}


def readable_title(path):
    """The title of a result, made of its file's name where its own is no title or not the only one.

    Parameters
    ----------
    path : pathlib.Path
        A file of benchmarks/results.
    """
    own = _own_title(path)
    others = [_own_title(other) for other in path.parent.glob("*.md") if other != path]
    if not own.startswith(path.stem) and own not in others and not own.startswith("Noise"):
        return own
    pattern = "|".join(re.escape(name) for name in _WORDS)
    parts = re.findall(rf"{pattern}|[a-z0-9]+", path.stem)
    title = ", ".join(_WORDS.get(part, part) for part in parts)
    return title[0].upper() + title[1:]


def _own_title(path):
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _make_pages(app):
    results = sorted(_RESULTS.glob("*.md"), key=readable_title)
    for path in results:
        body = path.read_text(encoding="utf-8").partition("\n")[2]
        _write(_MADE / path.name, f"{_HEAD}# {readable_title(path)}\n{body}".encode())
    for path in _RESULTS.glob("*.png"):
        _write(_MADE / path.name, path.read_bytes())
    index = _INDEX % "\n".join(path.stem for path in results)
    _write(_MADE / "index.md", (_HEAD + index).encode())
    commands = (_RESULTS.parent / "README.md").read_text(encoding="utf-8").partition("\n")[2]
    commands = commands.replace("](results/", "](")
    _write(_MADE / "commands.md", f"{_HEAD}# Commands of the benchmarks\n{commands}".encode())


def _write(path, content):
    """Write a file where it differs, so that unchanged pages are not built again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def _link_to_made_pages(app, docname, source):
    made = "../" * docname.count("/") + "generated/measurements"
    text = source[0].replace("](../benchmarks/results)", f"]({made}/index.md)")
    text = text.replace("](../benchmarks/README.md)", f"]({made}/commands.md)")
    source[0] = text.replace("](../benchmarks/results/", f"]({made}/")

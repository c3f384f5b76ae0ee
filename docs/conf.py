"""Settings of the documentation site: ``make docs`` builds it into docs/_build."""

import os
import re
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from sphinx_gallery.sorting import ExplicitOrder

from sklearn_fsad import __version__
from sklearn_fsad.exceptions import LabelConventionWarning

project = "sklearn-fsad"
author = "The sklearn-fsad developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "examples", "auto_examples/*.ipynb", "**/README.md"]
templates_path = ["_templates"]

# --- pages ----------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# --- reference ------------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"
nitpicky = True
# types in docstrings are words, and other projects' names have no page here
nitpick_ignore_regex = [("py:.*", r"(?!sklearn_fsad).*")]

# --- gallery --------------------------------------------------------------------------------------
_EXAMPLES = ["plot_quickstart.py", "plot_sensors.py", "plot_defects.py", "plot_functions.py"]
_EXAMPLES += ["plot_process.py", "plot_search.py", "plot_compare.py", "plot_thresholds.py"]
_EXAMPLES += [
    "plot_explanations.py",
    "plot_displays.py",
    "plot_pyod.py",
    "plot_own_detector.py",
    "*",
]
# an example says which label marks anomalies
warnings.filterwarnings("error", category=LabelConventionWarning)
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": ExplicitOrder(_EXAMPLES),
    "doc_module": ("sklearn_fsad",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"sklearn_fsad": None},
    "inspect_global_variables": False,
    "image_scrapers": ("matplotlib",),
    "download_all_examples": False,
    "show_memory": False,
    "remove_config_comments": True,
    "min_reported_time": 10_000,  # times of one machine say little
}

# --- look -----------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sklearn-fsad"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "show_version_warning_banner": False,
}


# --- measurements: pages made of benchmarks/results and of a section of the README ----------------
_HERE = Path(__file__).parent
_RESULTS = _HERE.parent / "benchmarks" / "results"
_MADE = _HERE / "generated"
_INDEX = """# Measurements

What the benchmarks wrote. Names tell the data, how tasks were left out and which detectors were
measured.

```{toctree}
:maxdepth: 1

%s
```
"""


def _write(path, text):
    """Write a page where it differs, so that unchanged ones are not built again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _make_pages(app):
    results = sorted(_RESULTS.glob("*.md"))
    for path in results:
        _write(_MADE / "measurements" / path.name, path.read_text(encoding="utf-8"))
    _write(_MADE / "measurements" / "index.md", _INDEX % "\n".join(p.stem for p in results))
    readme = (_HERE.parent / "README.md").read_text(encoding="utf-8")
    section = re.search(
        r"^## How good it is\n.*?(?=^## )", readme, re.MULTILINE | re.DOTALL
    ).group()
    section = section.replace("](benchmarks/results)", "](measurements/index.md)")
    section = section.replace("](benchmarks/results/", "](measurements/").replace(
        "](docs/", "](../"
    )
    _write(_MADE / "quality.md", section.removeprefix("#"))


def _link_to_made_pages(app, docname, source):
    up = "../" * docname.count("/")
    text = source[0].replace("](../benchmarks/results/", f"]({up}generated/measurements/")
    source[0] = text.replace("](../README.md#how-good-it-is", f"]({up}generated/quality.md")


def setup(app):
    """Links to files of the repository lead to their pages on the site."""
    app.connect("builder-inited", _make_pages)
    app.connect("source-read", _link_to_made_pages)

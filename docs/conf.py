"""Settings of the documentation site: ``make docs`` builds it into docs/_build."""

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from sphinx_gallery.sorting import ExplicitOrder

from sklearn_fsad import __version__
from sklearn_fsad.exceptions import LabelConventionWarning

_EXTENSIONS = Path(__file__).parent / "_ext"
sys.path.insert(0, str(_EXTENSIONS))

project = "sklearn-fsad"
author = "The sklearn-fsad developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas need no network
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "measurements",
]
exclude_patterns = ["_build", "_templates", "examples", "auto_examples/*.ipynb", "**/README.md"]
# times of one machine, with scripts from the web
exclude_patterns += ["sg_execution_times.rst", "**/sg_execution_times.rst"]
templates_path = ["_templates"]

# --- pages ----------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]
highlight_language = "none"  # blocks without a language are output
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
    "plot_labelling.py",
    "plot_tables.py",
    "plot_series.py",
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
html_title = f"sklearn-fsad {version}"
html_short_title = "sklearn-fsad"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_search_scorer = str(_EXTENSIONS / "search_scorer.js")
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
# pages that are not part of a section have nothing to show beside them
_ALONE = ["index", "start", "choosing", "benchmarks", "search", "genindex", "py-modindex"]
html_sidebars = {page: [] for page in _ALONE}
html_theme_options = {
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo_dark.svg",
        "alt_text": "sklearn-fsad: to the first page",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navbar_start": ["navbar-logo", "site-version"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_prev_next": True,
    "show_version_warning_banner": False,
}

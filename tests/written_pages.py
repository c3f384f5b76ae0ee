"""The pages of the documentation, as they are written, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}


def code_of(page):
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL))


def blocks_of(page):
    """The code blocks of a page, each with what the page shows below it as printed, or None."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", PAGES[page], re.MULTILINE | re.DOTALL
    )
    return [(code, shown or None) for code, shown in blocks]

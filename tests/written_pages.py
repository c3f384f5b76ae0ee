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

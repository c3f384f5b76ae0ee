"""Draw ``docs/_static/flow_chart.svg``, the chart of choosing.md.

``python docs/make_flow_chart.py`` writes it anew.
The page includes the file as it is, so that its colours follow the theme and its links work.
"""

from pathlib import Path

WIDTH, STEP, HEIGHT = 640, 118, 74  # of the picture, from one question to the next, of a box
LEFT, RIGHT, BOX, ANSWER = 10, 396, 270, 234  # where questions and answers start; their widths
REFERENCE = "generated/sklearn_fsad.{}.html"
STYLE = """
.flow-chart {width: 100%; max-width: 46rem; font-family: inherit; margin: 1rem 0}
.flow-chart text {fill: var(--pst-color-text-base, currentColor)}
.flow-chart text {font-size: 15px; text-anchor: middle}
.flow-chart .box {fill: none; stroke: var(--pst-color-text-muted, gray); stroke-width: 1.5}
.flow-chart .answer {stroke: var(--pst-color-primary, teal); stroke-width: 2.5}
.flow-chart a text {fill: var(--pst-color-link, teal); font-weight: 600; font-size: 16px}
.flow-chart path {stroke: var(--pst-color-text-muted, gray); stroke-width: 1.5; fill: none}
.flow-chart .tip {fill: var(--pst-color-text-muted, gray); stroke: none}
"""
QUESTIONS = (  # lines, the answer that leads to the right, the detector and a remark
    (
        ("Are no anomalies known,", "and may relations", "between columns break?"),
        "yes",
        ("NeuralProcessDetector", "normal rows only"),
    ),
    (("Are there past tasks,", "three groups or more?"), "no", ("InContextDetector", "pretrained")),
    (
        ("Do the tasks have", "the same columns?"),
        "no",
        ("InContextDetector", "pretrained, or with meta_fit"),
    ),
    (
        ("Are the tasks similar,", "as of one kind of machine?"),
        "yes",
        ("MAMLDetector", "learns that family's anomalies"),
    ),
)
LAST = ("ProtoNetDetector", "learns how to weight distances")


def chart() -> str:
    """Return the picture as SVG."""
    parts = [
        f'<svg class="flow-chart" viewBox="0 0 {WIDTH} {STEP * len(QUESTIONS) + HEIGHT + 10}"'
        ' role="img" aria-label="Which detector? The text below says the same."'
        ' xmlns="http://www.w3.org/2000/svg">',
        f"<style>{STYLE}</style>",
    ]
    for number, (lines, to_the_right, (name, remark)) in enumerate(QUESTIONS):
        top = 5 + number * STEP
        onwards = "no" if to_the_right == "yes" else "yes"
        parts += [box(LEFT, top, BOX, "box"), *text(LEFT + BOX / 2, top, lines)]
        parts += arrow(LEFT + BOX, top + HEIGHT / 2, RIGHT, top + HEIGHT / 2, to_the_right)
        parts += arrow(LEFT + BOX / 2, top + HEIGHT, LEFT + BOX / 2, top + STEP, onwards)
        parts += detector(RIGHT, top, ANSWER, name, remark)
    parts += detector(LEFT, 5 + len(QUESTIONS) * STEP, BOX, *LAST)
    return "\n".join([*parts, "</svg>", ""])


def box(left: float, top: float, width: float, kind: str) -> str:
    """Return a box with round corners."""
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{HEIGHT}" rx="10"/>'


def text(middle: float, top: float, lines: tuple[str, ...]) -> list[str]:
    """Return lines in the middle of a box."""
    first = top + HEIGHT / 2 + 5 - 10 * (len(lines) - 1)
    return [
        f'<text x="{middle:g}" y="{first + 20 * number:g}">{line}</text>'
        for number, line in enumerate(lines)
    ]


def detector(left: float, top: float, width: float, name: str, remark: str) -> list[str]:
    """Return a box with a detector, which leads to its page."""
    named, remarked = text(left + width / 2, top, (name, remark))
    link = f'<a href="{REFERENCE.format(name)}">{named}</a>'
    return [box(left, top, width, "box answer"), link, remarked]


def arrow(x: float, y: float, to_x: float, to_y: float, word: str) -> list[str]:
    """Return an arrow to the right or down, with a word beside it."""
    if y == to_y:
        tip, where = f"M{to_x} {y}l-9 -5v10z", ((x + to_x) / 2 - 4, y - 8)
    else:
        tip, where = f"M{x} {to_y}l-5 -9h10z", (x + 22, (y + to_y) / 2 + 4)
    return [
        f'<path d="M{x} {y}L{to_x} {to_y}"/>',
        f'<path class="tip" d="{tip}"/>',
        f'<text x="{where[0]:g}" y="{where[1]:g}">{word}</text>',
    ]


if __name__ == "__main__":
    path = Path(__file__).parent / "_static" / "flow_chart.svg"
    path.write_text(chart(), encoding="utf-8")

"""Charts of the paper report on a page: the bars as a table, the profile as lines, the checks as lists of links."""

from __future__ import annotations

from itertools import pairwise

from markupsafe import Markup

from audit_pipeline.report import html_alternatives, numbers
from audit_pipeline.report.charts import ClassBars
from audit_pipeline.report.glance import CheckMarks
from audit_pipeline.report.html_elements import tag
from audit_pipeline.report.html_figures import mark
from audit_pipeline.report.part_scores import Profile

BAR_WIDTH, BAR_HEIGHT = 200, 12
LONGEST_ON_A_LINE = 24
PROFILE_WIDTH, PROFILE_HEIGHT = 720, 120
PROFILE_LEFT, PROFILE_RIGHT, PROFILE_TOP, PROFILE_BELOW = 60, 12, 24, 18


def class_bars(chart: ClassBars, caption: str) -> Markup:
    """Return a line per class: name, bar with its threshold, probability."""
    prediction = chart.prediction
    rows = []
    for name in chart.classes:
        value, limit = prediction.probabilities[name], prediction.thresholds.get(name)
        is_concluded = name in prediction.predicted
        drawn = numbers.probability(value)
        tick = [] if limit is None else [tag("path", d=f"M{limit * BAR_WIDTH:.1f} 0V{BAR_HEIGHT}", class_="tick")]
        bar = tag(
            "svg",
            tag("rect", class_="track", y=2, width=BAR_WIDTH, height=8),
            tag("rect", class_="filled", y=2, width=min(max(value, 0.0), 1.0) * BAR_WIDTH, height=8),
            *tick,
            viewBox=f"0 0 {BAR_WIDTH} {BAR_HEIGHT}",
            preserveAspectRatio="none",
            aria_hidden="true",
        )
        cells = [tag("th", name, scope="row"), tag("td", bar, class_="bar-cell"), tag("td", drawn, class_="n")]
        rows.append(tag("tr", *cells, class_="concluded" if is_concluded else None))
    titles = [tag("th", title, scope="col", class_="unseen") for title in ("Class", "Bar", "Probability")]
    is_long = max((len(name) for name in chart.classes), default=0) > LONGEST_ON_A_LINE
    return tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *titles), class_="unseen"),
        tag("tbody", *rows),
        class_="bars long" if is_long else "bars",
    )


def profile(chart: Profile) -> Markup:
    """Return the logit of one class over the slices or windows, dots where they count."""
    first, last = min(chart.places), max(chart.places)
    right, low = PROFILE_WIDTH - PROFILE_RIGHT, PROFILE_HEIGHT - PROFILE_BELOW

    def place(part: float, value: float) -> tuple[float, float]:
        share = (part - first) / (last - first) if last > first else 0.5
        height = (value - chart.low) / (chart.high - chart.low)
        return PROFILE_LEFT + share * (right - PROFILE_LEFT), low - height * (low - PROFILE_TOP)

    points = [place(part, value) for part, value in zip(chart.places, chart.values, strict=True)]
    steps = "".join(f"M{a:.1f} {b:.1f} {c:.1f} {d:.1f}" for (a, b), (c, d) in pairwise(sorted(points)))
    level = place(first, chart.whole)[1]
    content = [
        tag("path", d=f"M{PROFILE_LEFT} {PROFILE_TOP}V{low}H{right}", class_="axis"),
        tag("path", d=f"M{PROFILE_LEFT} {level:.1f}H{right}", class_="bar"),
        tag("path", d=steps, class_="curve"),
    ]
    content += [
        tag("circle", cx=points[one][0], cy=points[one][1], r=3, class_="dot")
        for one in chart.parts.counted[chart.name]
    ]
    for value in dict.fromkeys([min(*chart.values, chart.whole), max(*chart.values, chart.whole)]):
        y = place(first, value)[1] + 4
        content.append(tag("text", numbers.short(value), x=PROFILE_LEFT - 6, y=y, class_="small", text_anchor="end"))
    for part in dict.fromkeys([first, last]):
        x = place(part, chart.low)[0]
        content.append(tag("text", str(part), x=x, y=low + 14, class_="small", text_anchor="middle"))
    middle = (PROFILE_LEFT + right) / 2
    content.append(tag("text", chart.parts.kind, x=middle, y=low + 14, class_="small", text_anchor="middle"))
    content.append(tag("text", f"Logit of {chart.name}", x=0, y=13, class_="chart-title"))
    alternative = html_alternatives.profile(chart.parts, chart.name, chart.whole, chart.places)
    view = f"0 0 {PROFILE_WIDTH} {PROFILE_HEIGHT}"
    return tag("svg", *content, class_="profile", viewBox=view, role="img", aria_label=alternative)


def check_marks(chart: CheckMarks, linked: frozenset[str]) -> Markup:
    """Return the checks of each family, each with its mark; those with a row in a table below lead there."""
    families: dict[str, list[Markup]] = {}
    name = ""
    for title, members in chart.lines:
        name = title or name
        families.setdefault(name, []).extend(_check(one.code, mark(one.outcome), linked) for one in members)
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", tag("ul", *members))) for name, members in families.items()),
        class_="glance",
    )


def _check(code: str, drawn: Markup, linked: frozenset[str]) -> Markup:
    words = tag("a", drawn, code, href=f"#check-{code}") if code in linked else tag("span", drawn, code)
    return tag("li", words)

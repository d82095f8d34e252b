"""The frame of a page: who speaks above, the contents, the parts, the run below."""

from __future__ import annotations

from markupsafe import Markup

from audit_pipeline.config import CLINICAL
from audit_pipeline.report import text, vocabulary
from audit_pipeline.report.document import Frontage
from audit_pipeline.report.html_elements import page, tag
from audit_pipeline.report.html_story import Writer

SKIP, CONTENTS = "Skip to the content", "Contents"


def framed(front: Frontage, writer: Writer, content: Markup) -> bytes:
    """Return the file: `content` between header, contents and footer, after it the pictures."""
    profile = vocabulary.PROFILE_WORDS.get(front.context.profile, front.context.profile)
    caution = text.capital(vocabulary.CAUTION)
    header = tag(
        "header",
        tag("p", tag("strong", front.header)),
        tag("p", front.model),
        tag("p", caution, class_="caution"),
        class_="top",
    )
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in writer.contents]
    contents = tag("nav", tag("ul", *links), class_="contents", aria_label=CONTENTS) if links else Markup("")
    footer = tag(
        "footer",
        tag("p", f"run {front.context.run}  |  {front.digest}"),
        tag("p", f"{vocabulary.CAUTION}  |  {profile}"),
    )
    body = Markup("\n").join(
        [
            tag("a", SKIP, href="#content", class_="skip"),
            *([tag("p", profile, class_="stamp")] if front.context.profile == CLINICAL else []),
            header,
            contents,
            tag("main", content, id="content", tabindex=-1),
            footer,
            _patterns(),
        ]
    )
    taken = len(page(front.title, front.subject, body))
    return page(front.title, front.subject, body, writer.layers.definitions(taken))


def _patterns() -> Markup:
    """Return the hatch that lies over rejected maps: white lines with a dark edge."""
    lines = [tag("path", d="M0 0V10", class_=name) for name in ("hatch-under", "hatch-over")]
    hatch = tag(
        "pattern", *lines, id="hatch", width=10, height=10, patternUnits="userSpaceOnUse", patternTransform="rotate(45)"
    )
    return tag("svg", tag("defs", hatch), class_="store", width=0, height=0, aria_hidden="true", focusable="false")

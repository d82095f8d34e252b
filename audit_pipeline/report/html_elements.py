"""Elements of a page as escaped text, and the page around them: one file that asks no network for anything.

Every string becomes part of a page here and nowhere else: `tag` cleans and escapes its children and attribute values,
only what another `tag` made (`Markup`) passes unchanged.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files

from markupsafe import Markup, escape

from audit_pipeline.report import fonts

VOID = frozenset({"br", "col", "input", "link", "meta"})
Attribute = str | int | float | bool | None


def tag(name: str, /, *children: str | Markup, **attributes: Attribute) -> Markup:
    """Return an element.

    Parameters
    ----------
    name : of the element, never from outside
    children : markup as it is, any other text cleaned and escaped
    attributes : a last underscore is dropped, others become hyphens; None and False leave the attribute out; values
        are cleaned and escaped unless they are markup

    Examples
    --------
    >>> str(tag("td", "a < b", class_="n"))
    '<td class="n">a &lt; b</td>'
    >>> str(tag("input", type="checkbox", checked=True, aria_label='"'))
    '<input type="checkbox" checked aria-label="&#34;">'
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    opened = f"<{name}{given}>"
    if name in VOID:
        return Markup(opened)  # noqa: S704 - name is ours, the attributes are escaped
    return Markup(f"{opened}{joined(children)}</{name}>")  # noqa: S704 - the children are escaped


def joined(children: tuple[str | Markup, ...] | list[Markup]) -> Markup:
    """Return the children one after the other, escaped where they are plain text."""
    return Markup("").join(one if isinstance(one, Markup) else escape(fonts.clean(one)) for one in children)


def _attribute(key: str, value: Attribute) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is False:
        return ""
    if value is True:
        return f" {name}"
    if isinstance(value, Markup):
        return f' {name}="{value}"'
    drawn = number(value) if isinstance(value, float) else fonts.clean(str(value))
    return f' {name}="{escape(drawn)}"'


def number(value: float) -> str:
    """Return a coordinate with at most two decimals.

    >>> number(1.0), number(0.126), number(-0.001)
    ('1', '0.13', '0')
    """
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


@lru_cache(maxsize=4)
def asset(name: str) -> str:
    """Return the script or the style sheet that every page carries."""
    return (files("audit_pipeline.report") / "html" / name).read_text(encoding="utf-8")


def digest(content: str) -> str:
    """Return the source expression that allows an inline script or style (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def policy() -> str:
    """Return the content security policy: our script and style, pictures inside the file, nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src {digest(asset('report.css'))}",
            f"script-src {digest(asset('report.js'))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def page(title: str, description: str, *body: Markup) -> bytes:
    """Return the file of one page; the parts of its body are put together as bytes, because pictures make them long."""
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="description", content=description),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(asset("report.css"))),  # noqa: S704 - our own file
    ]
    script = tag("script", Markup(asset("report.js")))  # noqa: S704 - our own file
    empty = tag("html", tag("head", *head), "\n", tag("body", script), lang="en-GB")
    before, opened, after = f"<!DOCTYPE html>\n{empty}\n".partition("<body>")
    return b"".join(part.encode() for part in (before, opened, *body, after))

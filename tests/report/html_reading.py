"""Reading a page back: its elements in order, its words, its pictures."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
from PIL import Image

VOID = {"br", "col", "input", "link", "meta"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list = field(default_factory=list)

    def all(self, name=None, **attributes):
        """Every element below with this name and these attributes, in order."""
        for child in self.children:
            if isinstance(child, Element):
                wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
                if name in {None, child.name} and all(child.attributes.get(k) == v for k, v in wanted.items()):
                    yield child
                yield from child.all(name, **attributes)

    def one(self, name=None, **attributes):
        return next(self.all(name, **attributes))

    @property
    def words(self):
        parts = [
            child if isinstance(child, str) else " " if child.name == "br" else child.words for child in self.children
        ]
        return " ".join(
            "".join(
                parts if self.name not in {"tr", "body", "div", "main", "table"} else [f" {p} " for p in parts]
            ).split()
        )


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.path = [self.root]

    def handle_starttag(self, name, attributes):
        element = Element(name, dict(attributes))
        self.path[-1].children.append(element)
        if name not in VOID:
            self.path.append(element)

    def handle_endtag(self, name):
        assert self.path[-1].name == name, f"<{self.path[-1].name}> is closed by </{name}>"
        self.path.pop()

    def handle_data(self, text):
        self.path[-1].children.append(text)


def read(page):
    """The document of a page; every element that is opened has to be closed in order."""
    reader = _Reader()
    reader.feed(page.decode())
    reader.close()
    assert reader.path == [reader.root]
    return reader.root


def words(page):
    """The text of the body with single blanks, script and style left out."""
    body = read(page).one("body")
    body.children = [one for one in body.children if not (isinstance(one, Element) and one.name == "script")]
    return body.words


def pixels(document, name):
    """The picture of a symbol as (H, W) or (H, W, 4) uint8."""
    source = document.one("symbol", id=name).one("image").attributes["href"]
    content = base64.b64decode(re.fullmatch(r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)", source)[1])
    picture = Image.open(io.BytesIO(content))
    return np.asarray(picture.convert("RGBA") if picture.mode == "P" else picture)

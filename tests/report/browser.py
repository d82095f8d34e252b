"""Headless Chromium as an oracle: what a page becomes when its script runs, what it asks for, what it complains of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever is asked for, nothing leaves the machine
    "--virtual-time-budget=3000",
    "--enable-logging=stderr",
)
OWN = ("google.com", "googleapis.com", "gstatic.com", "chromium.org")
"""Hosts that the browser itself asks for its updates and its time, whatever page is open."""

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="the Debian package chromium is not installed")


def with_test_script(page, script):
    """The page with one more script, which its policy allows by digest like the page's own."""
    source = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.decode().replace("script-src ", f"script-src &#39;sha256-{source}&#39; ", 1)
    assert "</body>" in text
    return text.replace("</body>", f"<script>{script}</script></body>").encode()


def opened(page, folder, *, size="1280,900"):
    """The document after the scripts ran, what stands in the console, and every address that was asked for."""
    place, log = folder / "page.html", folder / "net.json"
    place.write_bytes(page)
    command = [
        CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={size}", f"--log-net-log={log}",
        "--dump-dom", place.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    asked = {urlsplit(address) for address in re.findall(r'"url":"([^"]*)"', log.read_text())}
    assert any(address.scheme == "file" or address.hostname for address in asked), "the log of requests is empty"
    outside = {one for one in asked if one.scheme in {"http", "https", "ws", "wss", "ftp"}}
    return done.stdout, console, {one.geturl() for one in outside if not (one.hostname or "").endswith(OWN)}


def result(document):
    """The object that a test script wrote into the document."""
    found = re.search(r'<pre id="result">(.*?)</pre>', document, re.DOTALL)
    assert found is not None, "the test script did not end"
    return json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def reporting(expression):
    """A script that writes the value of `expression` into the document."""
    return (
        "(() => { const found = document.createElement('pre'); found.id = 'result';"
        f"found.textContent = JSON.stringify((() => {{ {expression} }})()); document.body.append(found); }})();"
    )

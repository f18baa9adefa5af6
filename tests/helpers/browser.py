"""Opening a page in a real browser, and what it says of it. Chromium only; no driver is needed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=20000"),
)

# In the head: errors from the start on, those of pictures as well.
_LISTEN = """<script>
window.troubles = [];
window.addEventListener("error", event =>
  window.troubles.push(event.message || "not loaded: " + (event.target.src || "?")), true);
</script>"""

# At the end: everything is opened and loaded, then `CHECKS` may do something, then the report.
_REPORT = """<script>
window.addEventListener("load", async () => {
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  for (const part of document.querySelectorAll("details")) part.open = true;
  await Promise.all(images.filter(image => !image.complete).map(image => new Promise(done => {
    image.addEventListener("load", done);
    image.addEventListener("error", done);
  })));
  const report = {
    images: images.map(image => [image.getAttribute("src"), image.naturalWidth]),
    resources: performance.getEntriesByType("resource").map(entry => entry.name),
    width: [document.documentElement.scrollWidth, document.documentElement.clientWidth],
    text: document.body.innerText,
  };
  try { report.checks = (() => { CHECKS })(); } catch (error) { troubles.push(String(error)); }
  report.troubles = troubles;
  const place = document.createElement("pre");
  place.id = "browser-report";
  place.textContent = JSON.stringify(report);
  document.body.append(place);
});
</script>"""


@dataclass(frozen=True)
class Opened:
    """A page as the browser saw it.

    Attributes:
        images: (address, width in pixels, 0 when it was not loaded) of each picture.
        resources: what was fetched beside the page.
        troubles: errors of scripts and of pictures.
        console: lines of the browser's console.
        width: of the content and of the window, in pixels.
        text: all that a reader sees.
        checks: what the test's own script returned.
    """

    images: list
    resources: list[str]
    troubles: list[str]
    console: list[str]
    width: list[int]
    text: str
    checks: object


def open_page(page: Path, checks: str = "", window: str = "1280,1000") -> Opened:
    """Open a copy of a page beside it, with a script that reports; see `Opened`.

    Args:
        page: the HTML file.
        checks: body of a JavaScript function, run when everything is loaded.
        window: width and height in pixels.
    """
    source = page.read_text(encoding="utf-8")
    source = source.replace("<head>", f"<head>{_LISTEN}", 1)
    source = source.replace("</body>", f"{_REPORT.replace('CHECKS', checks)}</body>", 1)
    copy = page.with_name("page_in_a_test.html")
    copy.write_text(source, encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        result = subprocess.run(
            [
                *(CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", f"--window-size={window}"),
                *("--dump-dom", copy.resolve().as_uri()),
            ],
            capture_output=True,
            timeout=120,
        )
    copy.unlink()
    document, errors = (text.decode("utf-8", "replace") for text in (result.stdout, result.stderr))
    found = re.search(r'<pre id="browser-report">(.*?)</pre>', document, re.DOTALL)
    assert found, f"no report: exit code {result.returncode}\n{errors[-2000:]}"
    report = json.loads(html.unescape(found.group(1)))
    console = [line for line in errors.splitlines() if "CONSOLE" in line]
    return Opened(console=console, **{"checks": None, **report})

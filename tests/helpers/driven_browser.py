"""A browser that a test drives: Chromium's DevTools over two pipes; no driver is needed."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from tests.helpers.browser import CHROMIUM

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--remote-debugging-pipe", "--disable-extensions"),
)
_PATIENCE = 90.0


class DrivenBrowser:
    """Context in which one page is open; what it complains of is in `troubles`.

    Args:
        window: width and height in pixels.
        features: of the person, such as {"prefers-color-scheme": "dark"}.
        language: of the browser.
    """

    def __init__(self, window=(1280, 1000), features=None, language="en-US"):
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._answers: dict[int, dict] = {}
        self._window, self._features, self._language = window, features or {}, language

    def __enter__(self):
        self._profile = tempfile.mkdtemp()
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Chromium reads from its file 3 and writes to 4.
        command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        arguments = [*_OPTIONS, f"--user-data-dir={self._profile}", f"--lang={self._language}"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", CHROMIUM, *arguments, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session = None
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = self._window
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        media = [{"name": name, "value": value} for name, value in self._features.items()]
        self.call("Emulation.setEmulatedMedia", features=media)
        agent = self.run("navigator.userAgent")
        self.call("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=self._language)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, address):
        """Open a page."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """Return what a script (an expression, or a promise of it) says."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script, awaitPromise=True, returnByValue=True, userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script):
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + _PATIENCE
        while True:
            value = self.run(script)
            if value:
                return value
            assert time.monotonic() < end, f"never: {script}\n{self.troubles}\n" + str(
                self.run("document.body.innerText")
            )
            time.sleep(0.05)

    def drop(self, path, kind="image/png"):
        """Drop a file on the page."""
        content = path.read_bytes().hex()
        self.run(f"""(() => {{
            const bytes = new Uint8Array("{content}".match(/../g).map(two => parseInt(two, 16)));
            const dropped = new DataTransfer();
            dropped.items.add(new File([bytes], {json.dumps(path.name)}, {{type: "{kind}"}}));
            const how = {{dataTransfer: dropped, bubbles: true, cancelable: true}};
            for (const name of ["dragover", "drop"])
                document.getElementById("ask").dispatchEvent(new DragEvent(name, how));
        }})()""")

    def drag(self, begin, end):
        """Press the mouse at a place, move it to another, and let it go."""
        steps = [("mousePressed", begin), ("mouseMoved", end), ("mouseReleased", end)]
        for kind, (x, y) in steps:
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=x, y=y, button="left", buttons=1, clickCount=1,
            )  # fmt: skip

    def press(self, key, times=1, shift=False):
        """Press a key, such as "Enter", "Escape", "ArrowRight" or "Tab"."""
        for _ in range(times):
            self._press(key, 8 if shift else 0)

    def _press(self, key, modifiers):
        arrows = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, **arrows}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key],
                modifiers=modifiers, **text,
            )  # fmt: skip
            text = {}

    def picture(self, path):
        """Write a picture of the page (PNG), for people."""
        import base64

        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method, **values):
        """Call a method of DevTools and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._out, content) :]
        end = time.monotonic() + _PATIENCE
        while number not in self._answers:
            self._listen(end - time.monotonic())
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _listen(self, seconds):
        ready, _, _ = select.select([self._in], [], [], max(0.0, seconds))
        assert ready, "the browser does not answer"
        came = os.read(self._in, 1 << 20)
        assert came, f"the browser has ended ({self._process.poll()})"
        *messages, self._buffer = (self._buffer + came).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._note(message["method"], message["params"])

    def _note(self, method, told):
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.troubles.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            entry = told["entry"]
            self.troubles.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.troubles.append(str(told["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

"""A headless Chromium for tests of pages, driven over the DevTools protocol: no driver and no package beside it.

    def test_a_page(browser: Browser) -> None:
        page = browser.new_page(width=390, height=844, is_phone=True)
        page.open((folder / "report.html").as_uri())
        assert page.console_errors == []
        assert page.requests_elsewhere(folder.as_uri()) == []
        assert page.pictures_not_loaded() == []
        assert page.wider_than_the_window() == []

The fixture `browser` is in tests/conftest.py; it skips where there is no Chromium. The protocol runs over a pair of
pipes (`--remote-debugging-pipe`), so that no port is open and the browser ends with the tests, however they end. Host
names other than the local ones do not resolve in it, and it has a camera that shows a pattern.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

_NAMES: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
_SECONDS: Final = 30.0
"""For an answer of the browser; a machine may be busy."""
_ABOVE_STANDARD_FDS: Final = 10
_KEYS: Final[Mapping[str, tuple[int, str]]] = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    "End": (35, ""),
    "Home": (36, ""),
}
"""Windows' virtual key codes, which the protocol speaks, and what is written."""


class BrowserError(Exception):
    """The browser refused, or a script of the page raised."""


def find_chromium() -> str | None:
    """The program that `CHROMIUM` names, or an installed one; None: there is none."""
    given = os.environ.get("CHROMIUM")
    return given or next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """A running Chromium; `close` ends it."""

    def __init__(self, executable: str, profile: pathlib.Path) -> None:
        """Starts it.

        Args:
          executable: of Chromium.
          profile: an empty folder for what it remembers.
        """
        flags = [*_FLAGS, f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            # Its sandbox refuses to run as root, which tests in a container do.
            flags.append("--no-sandbox")
        theirs_read, self._write = os.pipe()
        self._read, theirs_write = os.pipe()
        # It reads from 3 and writes to 4. The shell moves the ends there, from numbers that are out of the way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, _ABOVE_STANDARD_FDS) for end in (theirs_read, theirs_write)]
        script = f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}'
        self._log = (profile / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", executable, *flags],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        for end in (theirs_read, theirs_write, *ends):
            os.close(end)
        self._received = b""
        self._calls = 0
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; the end of the pipe is what tells it."""
        for end in (self._write, self._read):
            os.close(end)
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def new_page(self, *, width: int = 1280, height: int = 800, is_phone: bool = False, is_dark: bool = False) -> Page:
        """An empty page in a window of this size, in CSS pixels, that shares no storage with the others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", {"url": "about:blank", "browserContextId": context})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            page.call(f"{domain}.enable")
        page.set_window(width, height, is_phone=is_phone)
        page.set_dark(is_dark)
        return page

    def call(self, method: str, params: Mapping[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """Calls a method of the protocol and waits for what it returns; events on the way go to their pages.

        Raises:
          BrowserError: it was refused, or the browser has ended or does not answer.
        """
        self._calls += 1
        message: dict[str, Any] = {"id": self._calls, "method": method, "params": dict(params or {})}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        while (answer := self._receive(deadline, method)).get("id") != message["id"]:
            self._dispatch(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _dispatch(self, event: Mapping[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page:
            page.take(event["method"], event["params"])

    def _receive(self, deadline: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                why = "has ended" if ready else f"does not answer within {_SECONDS:g} s"
                said = pathlib.Path(self._log.name).read_text(errors="replace")[-500:]
                raise BrowserError(f"{waiting_for}: the browser {why}: {said}")
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def forget(self, session: str, context: str) -> None:
        """Closes a page with what it stored."""
        del self._pages[session]
        self.call("Target.disposeBrowserContext", {"browserContextId": context})


class Page:
    """A page in a browser.

    Attributes:
      console_errors: what it wrote to the console as an error, exceptions nobody caught, resources that failed.
      requests: addresses that it asked for, the document's among them.
    """

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.console_errors: list[str] = []
        self.requests: list[str] = []

    def close(self) -> None:
        """Closes it."""
        self._browser.forget(self._session, self._context)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol on this page."""
        return self._browser.call(method, params, self._session)

    def take(self, method: str, event: Mapping[str, Any]) -> None:
        """Notes an event of the protocol."""
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.console_errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "assert"):
            self.console_errors.append(" ".join(str(_shown(argument)) for argument in event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.console_errors.append(f"{event['entry']['text']} {event['entry'].get('url', '')}".strip())

    def open(self, address: str) -> None:
        """Goes there, and waits until it and its pictures are loaded.

        Raises:
          BrowserError: there is nothing.
        """
        failed = self.call("Page.navigate", url=address).get("errorText")
        if failed:
            raise BrowserError(f"{address}: {failed}")
        self.wait_until("document.readyState === 'complete'")
        # What it wrote to the console on the way comes before the answer to this.
        self.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, as JSON carries it; of a promise, what it comes to.

        Raises:
          BrowserError: it raised.
        """
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def wait_until(self, expression: str, seconds: float = _SECONDS) -> None:
        """Waits until an expression is true as JavaScript sees it, such as an element that is there.

        Raises:
          BrowserError: it is not within this time; the message has the page's errors.
        """
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Promise.resolve({expression}).then(Boolean)"):
            if time.monotonic() > deadline:
                raise BrowserError(f"{expression}: not so after {seconds:g} s; errors: {self.console_errors}")
            time.sleep(0.02)

    def set_window(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Size in CSS pixels; a phone has a touch screen, and makes pages smaller that are too wide."""
        self._width = width
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)

    def set_dark(self, is_dark: bool = True) -> None:
        """Light or dark, as the user's system says it to pages."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def choose_files(self, selector: str, paths: Sequence[pathlib.Path]) -> None:
        """Sets the files of an input, as a user who chose them."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        if not node:
            raise BrowserError(f"{selector}: there is no such element")
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def press(self, key: str) -> None:
        """Presses and releases a key, such as Tab, Enter or a space."""
        code, text = _KEYS[key]
        stroke = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **stroke, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def save_screenshot(self, path: pathlib.Path, *, is_whole_page: bool = True) -> None:
        """Writes a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=is_whole_page)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests_elsewhere(self, *prefixes: str) -> list[str]:
        """Addresses it asked for that begin with none of these, except data: and blob:, which are in the page."""
        return [url for url in self.requests if not url.startswith((*prefixes, "data:", "blob:", "about:"))]

    def pictures_not_loaded(self) -> list[str]:
        """Addresses of images that are broken; those that would load on scrolling are loaded first."""
        return self._strings(
            """(async () => {
              const images = [...document.images];
              for (const image of images) image.loading = "eager";
              await Promise.all(images.map((image) => image.decode().catch(() => {})));
              return images.filter((image) => !image.naturalWidth).map((image) => image.src.slice(0, 200));
            })()"""
        )

    def wider_than_the_window(self) -> list[str]:
        """Elements that reach beyond the window's sides and are not cut or scrolled by one that they are in."""
        return self._strings(
            f"""((windowWidth) => {{
              // A phone lays a page that says nothing about its width out in 980 pixels.
              const width = Math.min(document.documentElement.clientWidth, windowWidth);
              const isCut = (element) => {{
                for (let up = element.parentElement; up && up !== document.body; up = up.parentElement)
                  if (getComputedStyle(up).overflowX !== "visible") return true;
                return false;
              }};
              return [...document.body.querySelectorAll("*")].filter((element) => {{
                const box = element.getBoundingClientRect();
                return box.width && (box.right > width + 1 || box.left < -1) && !isCut(element);
              }}).map((element) => element.outerHTML.slice(0, 120));
            }})({self._width})"""
        )

    def _strings(self, expression: str) -> list[str]:
        found: list[str] = self.evaluate(expression)
        return found


def _shown(argument: Mapping[str, Any]) -> Any:
    return argument.get("value", argument.get("description"))

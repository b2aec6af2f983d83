"""Chromium without a screen, driven through the DevTools protocol over a pipe: no other package."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions",
    "--no-sandbox",  # tests in containers run as root, and the page is our own
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without GPU
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no network
)  # fmt: skip


class Browser:
    """One page of a browser.

    Attributes
    ----------
    problems
        Messages of errors and warnings on the console, of uncaught exceptions, and addresses of
        requests other than that of the page.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", answers: BinaryIO, commands: BinaryIO
    ) -> None:
        self._process, self._answers, self._commands = process, answers, commands
        self._number, self._session, self._waiting = 0, "", b""
        self.problems: list[str] = []
        self._events: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        found = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result.

        Raises
        ------
        RuntimeError
            If the browser refuses or has ended.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, page: Path) -> None:
        """Load a page from the disk.

        It scrolls at once. A smooth scroll that has begun before a click, for example to an element
        with the focus, would move the page away under the mouse.
        """
        self._events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._next()
        self.run("document.documentElement.style.scrollBehavior = 'auto'")

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript; a promise is waited for.

        Raises
        ------
        RuntimeError
            If it throws.
        """
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']['exception']}")
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true, at most 30 s."""
        self.run(
            "new Promise((resolve, reject) => {"
            "  setTimeout(() => reject(new Error('not true after 30 s')), 30000);"
            f"  const look = () => (({condition}) ? resolve() : setTimeout(look, 20)); look();"
            "})"
        )

    def click(self, selector: str, *, times: int = 1) -> None:
        """Click the middle of an element."""
        x, y = self.middle(selector)
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.send(
                    "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                    clickCount=count,
                )  # fmt: skip

    def point(self, selector: str) -> None:
        """Move the mouse to the middle of an element."""
        x, y = self.middle(selector)
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drag(self, selector: str, *, by: tuple[int, int]) -> None:
        """Press on the middle of an element, move, release."""
        x, y = self.middle(selector)
        steps = (
            ("mousePressed", 0.0),
            ("mouseMoved", 0.5),
            ("mouseMoved", 1.0),
            ("mouseReleased", 1.0),
        )
        for kind, part in steps:
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=x + part * by[0], y=y + part * by[1],
                button="left", buttons=1, clickCount=1,
            )  # fmt: skip

    def swipe(self, selector: str, *, by: tuple[int, int]) -> None:
        """Put a finger on the middle of an element, move it, lift it."""
        x, y = self.middle(selector)
        for kind, part in (("touchStart", 0.0), ("touchMove", 0.5), ("touchMove", 1.0)):
            points = [{"x": x + part * by[0], "y": y + part * by[1]}]
            self.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element in the window, after scrolling it into view.

        Waits until the page no longer moves and nothing covers the element, at most 30 s, as a
        reader would before a click.
        """
        x, y = self.run(
            "new Promise((resolve, reject) => {"
            "  setTimeout(() => reject(new Error('moving or covered for 30 s')), 30000);"
            "  let before = [];"
            "  const look = () => {"
            f"    const one = document.querySelector({json.dumps(selector)});"
            "    one.scrollIntoView({ block: 'center', behavior: 'instant' });"
            "    const box = one.getBoundingClientRect();"
            "    const middle = [box.x + box.width / 2, box.y + box.height / 2];"
            "    const still = middle.every((value, k) => value === before[k]);"
            "    if (still && one.contains(document.elementFromPoint(...middle))) resolve(middle);"
            "    else { before = middle; requestAnimationFrame(look); }"
            "  };"
            "  requestAnimationFrame(look);"
            "})"
        )
        return x, y

    def press(self, key: str, code: int = 0) -> None:
        """Press a key, such as ``ArrowDown``; ``code`` is its number in the protocol."""
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def look(
        self,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        motion: str = "no-preference",
    ) -> None:
        """Set the size of the window, light or dark, and ``prefers-reduced-motion``."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in features.items()],
        )

    def screenshot(self, *, whole: bool = False) -> bytes:
        """The window, or the whole page, as PNG."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])

    def wait_for(self, path: Path) -> None:
        """Wait until a file is saved, at most 30 s."""
        for _ in range(600):
            if path.is_file():
                return
            self.run("new Promise((done) => setTimeout(done, 50))")
        raise TimeoutError(f"{path} is not there after 30 s")

    def downloads(self, folder: Path) -> None:
        """Where files that the page saves go."""
        self.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def _next(self) -> dict[str, Any]:
        """The next message; events are noted."""
        while b"\0" not in self._waiting:
            if not (part := os.read(self._answers.fileno(), 1 << 16)):
                raise RuntimeError(f"the browser has ended, exit code {self._process.wait()}")
            self._waiting += part
        message, _, self._waiting = self._waiting.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, event: str, about: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(about["exceptionDetails"]["exception"]))
        elif event == "Runtime.consoleAPICalled" and about["type"] in {
            "error",
            "warning",
            "assert",
        }:
            self.problems.append(json.dumps(about["args"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] in {"error", "warning"}:
            self.problems.append(about["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            address = about["request"]["url"]
            if not address.startswith(("file:", "data:", "blob:", "about:")):
                self.problems.append(f"request of {address}")


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty page; ``profile`` is the folder of its own files."""
    assert CHROMIUM is not None
    (to_read, answer), (command, to_write) = os.pipe(), os.pipe()
    # The protocol reads descriptor 3 and writes descriptor 4.
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{command} 4>&{answer}', "bash", CHROMIUM, *FLAGS,
         f"--user-data-dir={profile}"],
        pass_fds=(command, answer), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(command)
    os.close(answer)
    try:
        with os.fdopen(to_read, "rb") as answers, os.fdopen(to_write, "wb") as commands:
            yield Browser(process, answers, commands)
    finally:
        process.terminate()
        process.wait()

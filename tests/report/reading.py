"""Somebody who reads a report in a real browser."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SWITCHES = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,900
""".split()  # noqa: SIM905


def opened(profile: Path) -> Iterator[Any]:
    """A browser without a window, closed at the end; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="install selenium to drive the page in a browser")
    if BROWSER is None or DRIVER is None:
        pytest.skip("install chromium and chromedriver to drive the page in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


_LONGEST_WAIT = 20.0  # seconds

RIGHT, LEFT, HOME, END, ESCAPE = "\ue014", "\ue012", "\ue011", "\ue010", "\ue00c"


class Reader:
    """Somebody who looks at the page and touches it."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def open(self, address: str, width: int = 1280, scheme: str = "light") -> Reader:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.browser.get(address)
        self.ask("localStorage.clear()")
        self.browser.refresh()
        # Charts are drawn when their size is first observed, which on a busy machine comes after the load event.
        drawn = "typeof charts === 'undefined' || charts.every((it) => it.plot)"
        end = time.monotonic() + _LONGEST_WAIT
        while not self.ask(drawn) and time.monotonic() < end:
            time.sleep(0.02)
        return self

    def ask(self, script: str, *values: object) -> Any:
        return self.browser.execute_script(
            script if ";" in script or "return" in script else f"return {script}", *values
        )

    def press(self, selector: str, *keys: str) -> None:
        element = self.browser.find_element("css selector", selector)
        for key in keys:
            element.send_keys(key)

    def click(self, selector: str) -> None:
        self.ask("arguments[0].scrollIntoView({block: 'center'});", self.browser.find_element("css selector", selector))
        self.browser.find_element("css selector", selector).click()

    def text(self, selector: str) -> str:
        return str(self.ask("return document.querySelector(arguments[0]).textContent", selector))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Verdict, query, answer and reference of each row that is shown."""
        script = """return [...document.querySelectorAll('#items tr:not([hidden])')].map((row) => [
            row.querySelector('.verdict .said, .verdict .hush').textContent,
            row.querySelector('th > bdi')?.textContent ?? '',
            (row.querySelector('.answer > bdi') ?? row.querySelector('.answer > em')).textContent,
            row.querySelector('.expected > bdi').textContent])"""
        return [tuple(row) for row in self.ask(script)]

    def errors(self) -> list[str]:
        return [
            entry["message"] for entry in self.browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}
        ]

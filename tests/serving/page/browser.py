"""A real Chromium that notices what a page should not do."""

from __future__ import annotations

import os
import shutil
import subprocess
from urllib.parse import urlencode

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


def executable():
    """The path of a browser that starts; None where there is none."""
    for name in NAMES:
        path = shutil.which(name)
        if path and _starts(path):
            return path
    return None


def _starts(path):
    return not subprocess.run([path, "--version"], capture_output=True, check=False).returncode


def arguments():
    """Chromium refuses to start its sandbox as root."""
    return ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


class Visit:
    """A page of one browser context, with everything that went wrong on it.

    Attributes:
        page: Playwright's page.
        url: The server's address.
        problems: Errors of scripts and of the console; what a refused request logs is none.
    """

    def __init__(self, context, url):
        self.url, self.problems, self.requests = url, [], []
        self.page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.add_init_script(WATCH)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._noticed)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self._opened(dialog))

    def _opened(self, dialog):
        self.problems.append(f"a dialog of the browser: {dialog.message}")
        dialog.dismiss()

    def _noticed(self, message):
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(message.text)

    def open(self, **state):
        """Go to the page with a state in the address and wait until it shows something."""
        pairs = [
            (name, each)
            for name, value in state.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        self.page.goto(f"{self.url}/?{urlencode(pairs)}" if pairs else f"{self.url}/")
        self.ready()
        return self.page

    def ready(self):
        self.page.wait_for_selector("#results[data-settled] > *")

    def found_wrong(self):
        """Everything that should not have happened."""
        violations = self.page.evaluate("window.violations ?? []")
        ran = self.page.evaluate("window.ran ?? null")
        foreign = [url for url in self.requests if not url.startswith(self.url)]
        return [*self.problems, *violations, *([f"ran: {ran}"] if ran else []), *foreign]

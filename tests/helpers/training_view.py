"""Driving the training view of a page."""

from __future__ import annotations

import contextlib
from pathlib import Path

from helpers.browser import until

TINY = {"epochs": 500, "stepsPerEpoch": 10, "batch": 2, "patch": 8, "rate": 0.001, "vggWeight": 0}
"""Settings of a training whose steps take no time."""

PATIENT = """
  window.patience = 20;
  const { setTimeout: wait } = window;
  window.setTimeout = (work, limit, ...rest) => wait(work, limit < 1500 ? limit : limit * patience, ...rest);
"""
"""The page waits longer for what may never come, since machines are busy."""


class View:
    """Drives the training view of a page."""

    def __init__(self, page):
        self.page = page

    def open(self):
        """Begin with the page's model and the recipe of ``span-train``, whatever this machine can carry."""
        self.page.click("#tab-train")
        self.wait("idle")
        self.page.dispatch_event("#train-form", "input")  # the user has the word from here on
        for name, value in {"size": "long", "origin": "page"}.items():
            self.page.locator(f"input[name={name}][value={value}]").dispatch_event("click")
        self.unfold()
        return self

    def unfold(self):
        """Show all settings."""
        if not self.page.evaluate("() => document.querySelector('#train-more').open"):
            self.page.click("#train-more summary")

    def wait(self, phase: str):
        self.page.wait_for_selector(f"#train[data-phase={phase}]")

    def until(self, condition):
        until(self.page, condition, lambda: f"{self.state} {self.problem}")

    def fill(self, backend: str | None = "cpu", **settings):
        self.unfold()
        for key, value in {**TINY, **settings}.items():
            self.page.fill(f"#train-{key}", str(value))
        if backend:
            self.page.select_option("#train-backend", backend)

    def click(self, name: str):
        self.page.get_by_role("button", name=name, exact=True).click()

    def train(self, steps: int):
        """Press Start Training, wait for some steps, press Stop Training; return the step reached."""
        self.click("Start Training")
        self.wait("training")
        before = int(self.page.get_attribute("#train", "data-step") or 0)
        self.until(lambda: int(self.page.get_attribute("#train", "data-step") or 0) >= before + steps)
        self.click("Stop Training")
        self.wait("idle")
        return int(self.page.get_attribute("#train", "data-step"))

    @property
    def state(self) -> str:
        return self.page.inner_text("#train-state")

    def forget_state(self):
        """So that the same words mean that something happened again."""
        self.page.evaluate("() => void (document.querySelector('#train-state').textContent = '')")

    @property
    def problem(self) -> str:
        return self.page.inner_text("#train-problem")

    def wait_problem(self) -> str:
        self.page.wait_for_selector("#train-problem:not([hidden]):not(:empty)")
        return self.problem

    @property
    def log(self) -> str:
        return self.page.inner_text("#train-log")

    @contextlib.contextmanager
    def saved(self):
        """The two downloads that Save Model leads to, complete at the end."""
        files = []

        def add(file):
            files.append(file)

        self.page.on("download", add)
        yield files
        self.until(lambda: len(files) == 2 and self.state.startswith("Saved"))
        self.page.remove_listener("download", add)
        self.forget_state()

    def save(self, folder: Path) -> Path:
        """Press Save Model; the path of the JSON file."""
        with self.saved() as files:
            self.click("Save Model")
        for file in files:
            file.save_as(folder / file.suggested_filename)
        (saved,) = folder.glob("*.json")
        assert saved.with_suffix(".bin").is_file()
        return saved

    @property
    def question(self) -> str:
        self.page.wait_for_selector("#train-question[open]")
        return self.page.inner_text("#train-question-text")

    @property
    def worker(self):
        return next(worker for worker in self.page.workers if "train/session/worker.js" in worker.url)

    def hang(self):
        """Let the worker hear nothing any more, as in a step that never ends; the page loses its patience with it."""
        self.worker.evaluate(
            """() => void setTimeout(() => {
              self.postMessage({ event: 'log', detail: { message: 'hangs now', time: 0 } });
              for (;;);
            }, 0)"""
        )
        self.until(lambda: "hangs now" in self.log)
        self.page.evaluate("() => void (patience = 1)")

    def answer(self, name: str):
        self.page.locator("#train-question").get_by_role("button", name=name).click()

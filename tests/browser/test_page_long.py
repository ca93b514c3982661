"""What takes long: told before it begins, and not lost without a question."""

import json

from helpers.browser import hook_workers, make_scene

SLOW = "(message, pass) => { if (message.result?.status) message.result.status.measured = { wasm: 1e6 }; pass(); }"
"""To the page, this device takes a quarter of an hour for what takes it a second."""


def test_long_work_is_told_before_it_begins(page, open_page, save_image, download_in_page):
    hook_workers(page, incoming=SLOW)
    open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(40, 44))))
    page.wait_for_selector("#download:text('Start'):enabled")
    assert page.inner_text("#job-detail") == "44 × 40 becomes 88 × 80; about 18 min on WebAssembly."
    assert page.is_hidden("#job-choices")
    page.click("#download")
    page.wait_for_selector("#download:text('Download')")
    assert download_in_page(page).shape == (80, 88, 3)


def test_quicker_models_are_offered_instead(page, site, open_page, save_image):
    hook_workers(page, incoming=SLOW)
    quick = {"name": "quick", "url": "models/x3-official/model.json", "channels": 4}
    other = {"name": "slow", "url": "models/x4-ch48/model.json", "channels": 48}
    page.route("**/models.json", lambda route: route.fulfill(body=json.dumps({"models": [other, quick]})))
    open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(40, 44))))
    page.click("#job-choices button:text('Take quick (about 4 min)')")
    page.wait_for_selector("html[data-state=ready] #chip-model:text('quick')", state="attached")
    page.wait_for_selector("#job-detail:text('44 × 40 becomes 132 × 120; about 18 min on WebAssembly.')")


def test_what_is_running_or_not_saved_is_asked_about_before_the_page_is_left(
    page, open_page, save_image, download_in_page
):
    open_page("x2", "wasm")
    leaving = """() => {
      const event = new Event('beforeunload', { cancelable: true });
      dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    assert page.evaluate(leaving) is False
    page.set_input_files("#files", str(save_image(make_scene(20, 24))))
    page.wait_for_selector("#download:enabled")
    assert page.evaluate(leaving) is True
    download_in_page(page)
    page.wait_for_function("() => !document.querySelector('html[data-state=busy]')")
    assert page.evaluate(leaving) is False


def test_the_device_stays_awake_while_it_works(page, open_page, save_image):
    page.add_init_script(
        """
        window.locks = [];
        navigator.wakeLock.request = async () => {
          locks.push('held');
          return Object.assign(new EventTarget(), { release: async () => locks.push('released') });
        };"""
    )
    open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(20, 24))))
    page.wait_for_selector("#download:enabled")
    page.wait_for_selector("html[data-state=ready]")
    assert page.evaluate("() => locks") == ["held", "released"]

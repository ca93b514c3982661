"""What the training view keeps: full storage, other tabs, deleting, damage."""

import pytest

from helpers.browser import make_scene
from helpers.training_view import View
from span_keras.checkpoints import load_weights


def test_deleting_removes_the_training_everywhere(view):
    page = view.page
    view.fill()
    view.train(2)
    page.evaluate("() => { window.Kept = Worker; window.Worker = function () { throw Error('none left'); }; }")
    view.click("Upscale with It")
    view.until(lambda: view.state == "The Upscale view could not take the trained model into use.")
    assert page.inner_text("#status") == "none left. x2 stays in use."
    page.evaluate("() => { window.Worker = Kept; }")
    view.click("Upscale with It")
    view.until(lambda: view.state == "The Upscale view now uses the trained model.")
    assert page.inner_text("[data-origin=page]") == "Trained in this browser"
    page.wait_for_selector("html[data-state=ready]")
    models = "async () => (await (await import('./storage/models.js')).listModels()).map(({ name }) => name)"
    assert page.evaluate(models) == ["Trained in this browser"]
    view.click("Delete Model")
    view.answer("Cancel")
    assert page.is_enabled("[data-do=delete]")
    view.click("Delete Model")
    view.answer("Delete")
    view.until(lambda: view.state.startswith("The trained model was deleted; the Upscale view goes on with it"))
    assert page.is_disabled("[data-do=delete]")
    assert page.evaluate(models) == []
    assert view.worker.evaluate("async () => (await import('./store.js')).loadTraining()") is None
    assert page.is_disabled("[data-do=save]")
    page.reload()
    view.wait("idle")
    assert page.is_hidden("label:has([value=stored])")


def test_full_storage_gets_a_sentence_and_training_goes_on(view, tmp_path):
    full = "() => { IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); }; }"
    view.worker.evaluate(full)
    view.page.evaluate(full)
    view.fill()
    reached = view.train(3)
    assert "The storage that the browser grants this page is full" in view.log
    assert view.state == f"Stopped at step {reached:,}; Start Training goes on from here."
    assert "is full" in view.problem
    assert load_weights(view.save(tmp_path)).config.channels == 8
    assert view.problem == ""
    assert view.train(1) > reached
    assert "is full" in view.problem  # it is told in each run
    view.click("Upscale with It")
    unkept = "until the page is closed: The browser has no room left to keep this model."
    view.until(lambda: view.state == f"The Upscale view now uses the trained model {unkept}")


def test_only_one_tab_trains_at_a_time(view, context):
    view.fill()
    view.click("Start Training")
    view.wait("training")
    view.until(lambda: view.page.get_attribute("#train", "data-saved"))  # the other tab finds it
    other = context.new_page()
    other.goto(view.page.url.split("#")[0] + "#train")
    other.wait_for_selector("#train[data-phase=idle]")
    other.click("#train-more summary")
    second = View(other)
    second.click("Start Training")
    assert second.wait_problem() == "A training is running in another tab of this page; stop it there first."
    assert second.state == "The training did not start."
    second.click("Delete Model")
    second.answer("Delete")
    assert second.wait_problem() == "A training is running in another tab of this page; stop it there first."
    view.page.bring_to_front()
    view.click("Stop Training")
    view.wait("idle")
    assert view.problem == ""
    # Each goes on with what the other has stored since.
    other.bring_to_front()
    other.select_option("#train-backend", "cpu")
    reached = second.train(2)
    assert f"from step {view.page.get_attribute('#train', 'data-step')}" in second.log
    other.close()
    view.page.bring_to_front()
    view.page.check("input[name=origin][value=page]")
    view.click("Start Training")
    assert f"replaces the stored training at step {reached:,}" in view.question
    view.answer("Cancel")
    view.wait("idle")


DENY_LOCKS = """() => {
  navigator.locks.request = () => Promise.reject(new DOMException('The request was denied.', 'SecurityError'));
}"""


DENY_STORAGE = """() => {
  indexedDB.open = () => {
    const request = { error: new DOMException('denied') };
    setTimeout(() => request.onerror());
    return request;
  };
}"""


def test_trains_where_the_page_may_neither_lock_nor_store(view):
    """As in a browser that blocks what sites keep."""
    view.worker.evaluate(DENY_LOCKS)
    view.worker.evaluate(DENY_STORAGE)
    view.fill()
    view.click("Start Training")
    assert view.wait_problem().startswith("This browser keeps no data for the page (denied)")
    view.until(lambda: int(view.page.get_attribute("#train", "data-step") or 0) > 1)
    view.click("Stop Training")
    view.wait("idle")
    assert view.state.startswith("Stopped at step")
    assert view.page.is_enabled("[data-do=save]")


def test_what_keeps_a_training_from_starting_is_told_where_nothing_can_be_stored(view):
    view.worker.evaluate(DENY_STORAGE)
    view.fill()
    view.page.set_input_files("#train-files", [{"name": "a.png", "mimeType": "image/png", "buffer": b"no"}])
    view.click("Start Training")
    assert view.wait_problem().startswith("No photograph can be used: a.png (image/png) is damaged")
    view.wait("idle")
    assert view.page.is_disabled("[data-do=delete]")  # nothing is stored, and nothing damaged


def test_a_training_deleted_in_another_tab_is_stored_again_with_its_photographs(view, save_image):
    page = view.page
    page.set_input_files("#train-files", [str(save_image(make_scene(40, 44, seed), f"{seed}.png")) for seed in (1, 2)])
    view.fill()
    view.train(1)
    page.evaluate("async () => (await import('./train/session/store.js')).deleteTraining()")
    reached = view.train(1)
    page.reload()
    view.wait("idle")
    assert page.get_attribute("#train", "data-step") == str(reached)
    assert page.inner_text("#train-photographs-text").startswith("2 photographs")


@pytest.fixture
def damaged(view):
    """A view whose stored training is damaged."""
    view.fill()
    view.train(1)
    view.page.evaluate(
        """() => new Promise((resolve) => {
            indexedDB.open('span-training').onsuccess = ({ target: { result: database } }) => {
                const transaction = database.transaction('state', 'readwrite');
                transaction.objectStore('state').put({ format: 1, config: null }, 'current');
                transaction.oncomplete = () => { database.close(); resolve(); };
            };
        })"""
    )
    view.page.reload()
    assert "The training stored in this browser cannot be used" in view.wait_problem()
    return view


def test_a_damaged_stored_training_gets_a_sentence_and_can_be_deleted(damaged):
    damaged.click("Delete Model")
    assert damaged.question.startswith("The damaged training")
    damaged.answer("Delete")
    damaged.until(lambda: "was deleted" in damaged.state)
    damaged.fill()
    assert damaged.train(1) >= 1


def test_a_training_that_replaced_a_damaged_one_is_not_called_damaged(damaged):
    damaged.fill()
    damaged.train(1)
    damaged.click("Delete Model")
    assert damaged.question.startswith("The trained model, its photographs and its progress")
    damaged.answer("Cancel")

"""Models that the page keeps between visits."""

from helpers.browser import library


def test_models_are_kept_again_after_the_user_has_cleared_what_the_page_kept(blank):
    names = "async () => (await (await import('/storage/models.js')).listModels()).map(({ name }) => name)"
    keep = "async () => (await import('/storage/models.js')).saveModel('one', { weightData: new ArrayBuffer(8) })"
    blank.evaluate(keep)
    origin = blank.evaluate("origin")
    blank.context.new_cdp_session(blank).send(
        "Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "indexeddb"}
    )
    assert blank.evaluate(names) == []
    blank.evaluate(keep)
    assert blank.evaluate(names) == ["one"]


# While the user clears what the page keeps, the browser gives up a request for the database, as it does for one whose
# making is given up.
GIVE_UP = """
const open = indexedDB.open.bind(indexedDB);
let left = given[0];
indexedDB.open = (...names) => {
  const request = open(...names);
  const giveUp = () => request.transaction.abort();
  if (left-- > 0) queueMicrotask(() => request.addEventListener('upgradeneeded', giveUp)); // after the page's own
  return request;
};
"""


def test_models_and_trainings_are_kept_if_the_browser_gives_up_one_attempt(blank):
    names, training = library(
        blank,
        GIVE_UP
        + """
        await models.saveModel('one', { weightData: new ArrayBuffer(8) });
        left = 1;
        const training = await (await import('/train/session/store.js')).loadTraining();
        return [(await models.listModels()).map(({ name }) => name), training];""",
        1,
    )
    assert names == ["one"]
    assert training is None


def test_a_browser_that_keeps_nothing_is_told(blank):
    message = library(blank, GIVE_UP + "return models.listModels().catch(({ message }) => message);", 2)
    assert message.startswith("This browser keeps no data for the page (")
    assert message.endswith("); private windows often do not.")


def test_a_model_for_which_there_is_no_room_is_told(blank):
    blank.context.new_cdp_session(blank).send(
        "Storage.overrideQuotaForOrigin", {"origin": blank.evaluate("origin"), "quotaSize": 1_000_000}
    )
    message = library(
        blank,
        """
        const keep = models.saveModel('one', { weightData: new ArrayBuffer(8_000_000) });
        return keep.catch(({ message }) => message);""",
    )
    assert message == "The browser has no room left to keep this model."


def test_models_are_kept_and_forgotten(blank):
    names, kept, after = library(
        blank,
        """
        const artifacts = { modelTopology: { a: 1 }, weightSpecs: [], weightData: new ArrayBuffer(8) };
        await models.saveModel('one', artifacts);
        await models.saveModel('two', artifacts);
        const names = (await models.listModels()).map(({ name, bytes }) => [name, bytes]);
        const kept = (await models.loadModel('one')).modelTopology;
        await models.deleteModel('one');
        return [names, kept, [(await models.listModels()).length, await models.loadModel('one')]];""",
    )
    assert names == [["one", 8], ["two", 8]]
    assert kept == {"a": 1}
    assert after == [1, None]

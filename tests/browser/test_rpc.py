"""The protocol between the page and its workers: answers, errors, events, cancelling, and the end of a worker."""

import pytest

from helpers.browser import library

WORKER = """
const source = `
  import { notify, serve, withTransfer } from '${location.origin}/rpc.js';
  const failures = [];
  serve({
    echo: (argument) => argument,
    fail({ name, message }) { throw Object.assign(new Error(message), { name }); },
    reject: () => Promise.reject('no error object'),
    unclonable: () => () => {},
    give: () => { const result = new Uint8Array(3); return withTransfer({ result }, [result.buffer]); },
    lengthAfter(argument) { return argument.length; },
    count({ to }, { emit }) { for (let i = 0; i < to; i++) emit('counted', i); return to; },
    announce(argument) { notify('announced', argument); },
    wait: (argument, { signal }) =>
      new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    hang() { for (;;); },
    failures: () => failures,
  }, (error) => failures.push(String(error)));`;
const told = [];
const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
const start = (address) => new rpc.Thread(new Worker(address, { type: 'module' }), {
  onEvent: (...event) => told.push(event),
  explain: (reason) => new Error(`stopped: ${reason}`),
});
const thread = start(url);
const failure = ({ name, message, constructor }) => [name, message, constructor.name];
"""


@pytest.fixture
def rpc(blank):
    """``(body) -> result`` with a ``thread`` of the worker above; events that belong to no call come to ``told``."""
    return lambda body: library(blank, WORKER + body)


def test_answers_come_to_their_calls(rpc):
    answers = rpc("return Promise.all([1, 'two', { three: [3] }].map((value) => thread.call('echo', value)));")
    assert answers == [1, "two", {"three": [3]}]


def test_errors_keep_their_name_and_message(rpc):
    error = "{ name: 'ModelError', message: 'Too deep.' }"
    assert rpc(f"return thread.call('fail', {error}).catch(failure);") == ["ModelError", "Too deep.", "Error"]
    error = "{ name: 'AbortError', message: 'Enough.' }"
    assert rpc(f"return thread.call('fail', {error}).catch(failure);") == ["AbortError", "Enough.", "DOMException"]
    assert rpc("return thread.call('reject').catch(failure);") == ["Error", "no error object", "Error"]


def test_the_worker_learns_what_its_methods_throw(rpc):
    assert rpc(
        """await thread.call('fail', { name: 'ModelError', message: 'Too deep.' }).catch(() => {});
           return thread.call('failures');"""
    ) == ["ModelError: Too deep."]


@pytest.mark.parametrize("call", ["'toString'", "'missing'", "'unclonable'", "'echo', () => {}"])
def test_what_cannot_be_called_or_sent_rejects_and_disturbs_no_other_call(rpc, call):
    refused, answer = rpc(f"return [await thread.call({call}).catch(failure), await thread.call('echo', 7)];")
    assert refused[0] in ("TypeError", "DataCloneError")
    assert answer == 7


def test_events_come_to_their_calls_and_others_to_the_thread(rpc):
    counted, answer, told = rpc(
        """const counted = [];
           const on = { counted: (i) => counted.push(i) };
           const answer = await thread.call('count', { to: 3 }, { on });
           await thread.call('count', { to: 2 }); // nobody listens
           await thread.call('announce', 'news');
           return [counted, answer, told];"""
    )
    assert (counted, answer, told) == ([0, 1, 2], 3, [["announced", "news"]])


def test_buffers_move_both_ways(rpc):
    left, length, received = rpc(
        """const bytes = new Uint8Array(5);
           const length = await thread.call('lengthAfter', bytes, { transfer: [bytes.buffer] });
           const { result } = await thread.call('give');
           return [bytes.length, length, result.length];"""
    )
    assert (left, length, received) == (0, 5, 3)


def test_a_signal_stops_a_call(rpc):
    stopped, late, before = rpc(
        """const controller = new AbortController();
           const { signal } = controller;
           const waiting = thread.call('wait', null, { signal });
           controller.abort();
           const stopped = await waiting.catch(failure);
           const second = new AbortController();
           const on = { counted: () => second.abort(new Error('my reason')) };
           const late = await thread.call('count', { to: 1 }, { on, signal: second.signal }).catch(failure);
           const before = await thread.call('echo', 1, { signal }).catch(failure);
           return [stopped, late, before];"""
    )
    assert stopped[0] == "AbortError"
    assert late == ["Error", "my reason", "Error"]
    assert before[0] == "AbortError"


def test_a_worker_that_hangs_can_be_ended(rpc):
    under_way, later = rpc(
        """const hanging = thread.call('hang').catch(failure);
           thread.end(new Error('no patience'));
           return [await hanging, await thread.call('echo', 1).catch(failure)];"""
    )
    assert under_way == later == ["Error", "no patience", "Error"]


def test_a_worker_that_cannot_be_loaded_is_explained(rpc):
    first, later = rpc(
        """const script = new Blob(['throw new Error("broken")'], { type: 'text/javascript' });
           const broken = start(URL.createObjectURL(script));
           return [await broken.call('echo', 1).catch(failure), await broken.call('echo', 1).catch(failure)];"""
    )
    assert first == later == ["Error", "stopped: Uncaught Error: broken", "Error"]

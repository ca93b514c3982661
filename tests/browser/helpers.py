"""What several of the browser's tests need and is no fixture."""

from __future__ import annotations

HOOK = """(({{ outgoing, incoming }}) => {{
  const {{ postMessage }} = Worker.prototype;
  Worker.prototype.postMessage = function (message, ...rest) {{
    outgoing(message, () => postMessage.call(this, message, ...rest));
  }};
  const {{ set }} = Object.getOwnPropertyDescriptor(Worker.prototype, 'onmessage');
  Object.defineProperty(Worker.prototype, 'onmessage', {{
    set(handler) {{
      set.call(this, (event) => incoming(event.data, () => handler(event)));
    }},
  }});
}})({{ outgoing: {outgoing}, incoming: {incoming} }});
"""


def hook_workers(page, outgoing="(message, pass) => pass()", incoming="(message, pass) => pass()"):
    """Stand between a page that is not open yet and its workers.

    ``outgoing`` and ``incoming`` are functions of JavaScript ``(message, pass)``: they get every message of ``rpc.js``,
    and it arrives when they call ``pass``.
    """
    page.add_init_script(HOOK.format(outgoing=outgoing, incoming=incoming))

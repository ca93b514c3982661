"""What libraries print while they load is kept from the user, unless it explains a failure."""

import os
import warnings

import pytest

from span_keras.errors import SpanError
from span_keras.quiet import hushed


def test_python_and_native_code_are_silent_on_both_streams(capfd):
    with hushed():
        print("chatter")
        os.write(1, b"native chatter")
        os.write(2, b"native chatter")
        warnings.warn("chatter", stacklevel=1)
    print("a result")
    assert capfd.readouterr() == ("a result\n", "")


def test_it_shows_what_was_said_before_a_failure(capfd):
    with pytest.raises(RuntimeError), hushed():
        print("a clue", flush=True)
        raise RuntimeError
    assert "a clue" in capfd.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, SpanError("A sentence.")])
def test_it_stays_silent_if_the_user_interrupts_or_the_message_says_it_all(capfd, error):
    with pytest.raises((KeyboardInterrupt, SystemExit, SpanError)), hushed():
        print("chatter", flush=True)
        raise error
    assert capfd.readouterr() == ("", "")

"""The compiled HTTP/2 session and the one by cffi hold any conversation in the same words: the fuzzer, briefly."""

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.serving.http2 import implementations

_PATH = Path(__file__).resolve().parents[2] / "tools" / "fuzz" / "http2_conversations.py"
_spec = importlib.util.spec_from_file_location("strongroom_tests_http2_conversations", _PATH)
conversations = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conversations)


@pytest.mark.skipif(len(implementations()) < 2, reason="one implementation has nothing to differ from")
@settings(deadline=None, max_examples=3 * settings.default.max_examples)
@given(st.binary(min_size=20, max_size=400))
def test_sv_12_both_implementations_say_the_same(data):
    conversations.converse(data)

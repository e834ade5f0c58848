"""malloc is told, where there is one to tell."""

import platform

import pytest

from strongroom.serving.allocator import keep_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_takes_both_settings():
    assert keep_memory()

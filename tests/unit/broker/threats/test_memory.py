"""What a broker does about its memory (KD-22)."""

import pytest

from strongroom.broker.run import run, swaps

HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def test_kd_22_swap_is_found_and_compressed_memory_is_not_taken_for_it(tmp_path):
    table = tmp_path / "swaps"
    table.write_text(HEAD)
    assert swaps(table) == []
    table.write_text(f"{HEAD}/dev/zram0  partition\t8\t0\t100\n/swapfile file\t1048572\t0\t-2\n")
    assert swaps(table) == ["/swapfile"]
    assert swaps(tmp_path / "none") == []


def test_kd_22_a_broker_on_a_machine_that_swaps_says_so(monkeypatch, caplog):
    class Enough(Exception):
        pass

    def stop():
        raise Enough

    monkeypatch.setattr("strongroom.broker.run.keep_memory_private", lambda: None)
    monkeypatch.setattr("strongroom.broker.run.swaps", lambda: ["/swapfile"])
    monkeypatch.setattr("strongroom.broker.run._raise_descriptor_limit", stop)
    with pytest.raises(Enough):
        run(None, None, ready=lambda _: None)
    assert "this machine swaps to /swapfile: secrets in memory may be written there" in caplog.text

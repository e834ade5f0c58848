"""The scripts' text: what must not stand in them, and the names that Redis gives them."""

import re

from strongroom.clusterserving.scripts import ADMIT, ALL, COMPLETE, TAKE


def test_every_script_has_a_name_of_its_own():
    for script in ALL:
        assert re.fullmatch(r"[0-9a-f]{40}", script.sha)
    assert len({each.sha for each in ALL}) == len(ALL)


def test_d02_no_script_trims_a_stream_or_searches_keys():
    for script in ALL:
        assert not re.search(r"XTRIM|MAXLEN|MINID|'KEYS'|'SCAN'|FLUSH", script.source)


def test_a_completion_begins_with_what_a_full_memory_does_not_refuse():
    """Redis refuses the first command that needs memory when it has none; once a script has written, it goes on."""
    first = re.findall(r"redis\.p?call\('(\w+)'", COMPLETE.source)[0]
    assert first == "XACK"


def test_an_admission_writes_the_record_before_anything_else():
    commands = re.findall(r"redis\.p?call\('(\w+)'", ADMIT.source)
    assert next(each for each in commands if each not in {"HMGET", "XLEN", "GET", "TIME"}) == "XADD"
    assert "NOMKSTREAM" in ADMIT.source


def test_keys_are_declared_so_that_access_rules_see_them():
    for script in (ADMIT, COMPLETE, TAKE):
        for first in re.findall(r"redis\.p?call\('\w+', ([^,)\n]+)", script.source):
            assert first.startswith("KEYS[") or first == "unpack(words", first
        assert all(each.startswith("{KEYS[") for each in re.findall(r"words = (\S+)", script.source))

"""Ports that are told to servers before they bind them: free, different, and given to nobody else by chance."""

import errno
import importlib.util
import socket
from collections import deque

import pytest

SPEC = importlib.util.find_spec("strongroom.ports")
ports = importlib.util.module_from_spec(SPEC)  # as it is: conftest gives tests other candidates
SPEC.loader.exec_module(ports)
free_port, free_ports = ports.free_port, ports.free_ports


def test_ports_are_different_and_can_be_bound():
    found = free_ports(20)
    assert len(set(found)) == 20
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_one_that_was_told_is_not_told_again_for_long(monkeypatch):
    monkeypatch.setattr(ports, "_CANDIDATES", range(12_000, 12_600))
    monkeypatch.setattr(ports, "_told", deque(maxlen=200))
    found = [free_port() for _ in range(1_000)]
    assert [port for place, port in enumerate(found) if port in found[max(0, place - 200) : place]] == []


def test_the_system_gives_none_of_them_away_by_itself():
    low, high = map(int, ports._GIVEN_AWAY.read_text("ascii").split())
    if low <= 12_000:
        pytest.skip("this system gives nearly all away")
    assert [port for port in free_ports(20) if low <= port <= high or not 12_000 <= port < 30_000] == []


@pytest.mark.parametrize(("given_away", "end"), [("20000\t60999\n", 20_000), ("nothing that can be read", 30_000)])
def test_another_range_is_heeded(tmp_path, monkeypatch, given_away, end):
    (tmp_path / "range").write_text(given_away)
    monkeypatch.setattr(ports, "_GIVEN_AWAY", tmp_path / "range")
    assert [port for port in free_ports(20) if not 12_000 <= port < end] == []


def test_where_the_system_gives_all_away_it_is_asked_for_one(tmp_path, monkeypatch):
    (tmp_path / "range").write_text("1024 65535")
    monkeypatch.setattr(ports, "_GIVEN_AWAY", tmp_path / "range")
    assert ports._candidates() == []
    assert len(set(free_ports(20))) == 20


def test_taken_ones_are_passed_over(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(ports, "_candidates", lambda: [taken.getsockname()[1]])
        assert free_port() != taken.getsockname()[1]


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(OSError, match="assign") as caught:
        free_port("192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_ipv6_is_asked_for_by_its_address():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        port = free_port("::1")
    except OSError as problem:
        pytest.skip(f"no loopback address of IPv6 here: {problem.strerror}")
    assert port

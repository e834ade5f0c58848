"""Readiness says what is waited for; the health port repeats it, and tells the load, and nothing else."""

import asyncio
import http.client

from strongroom.serving.fronts.health_port import health_port
from strongroom.serving.operations.load import Load
from strongroom.serving.operations.readiness import Readiness


def test_a_server_without_reasons_is_ready():
    readiness = Readiness()
    assert (readiness.ready, readiness.reason) == (True, "ready")
    readiness.wait("key", "waiting for key: TCB OutOfDate (INTEL-SA-00615)")
    readiness.wait("models", "no model yet")
    assert (readiness.ready, readiness.reason) == (
        False,
        "waiting for key: TCB OutOfDate (INTEL-SA-00615); no model yet",
    )
    readiness.wait("key", "waiting for key: asked again")
    readiness.done("models")
    assert readiness.reason == "waiting for key: asked again"
    readiness.done("key")
    readiness.done("key")
    assert readiness.ready


def test_checks_are_asked_whenever_somebody_wants_to_know():
    readiness, reasons = Readiness(), ["no version of half can answer"]
    readiness.check(lambda: reasons[0] if reasons else None)
    readiness.wait("key", "waiting for key")
    assert readiness.reason == "waiting for key; no version of half can answer"
    readiness.done("key")
    assert not readiness.ready
    reasons.clear()
    assert (readiness.ready, readiness.reason) == (True, "ready")


def test_listeners_hear_changes_and_nothing_else():
    readiness, heard = Readiness(), []
    stop = readiness.listen(heard.append)
    readiness.wait("key", "a")
    readiness.wait("key", "b")
    readiness.done("nothing")
    readiness.done("key")
    stop()
    readiness.wait("key", "c")
    assert heard == [False, True]


def ask(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_sv_19_the_health_port_answers_probes_with_the_reason_and_nothing_else():
    async def scenario():
        readiness = Readiness()
        readiness.wait("key", "waiting for key: TCB OutOfDate")
        async with health_port("127.0.0.1", 0, readiness, Load()) as port:

            async def asked(method, path):
                return await asyncio.to_thread(ask, port, method, path)

            assert await asked("GET", "/healthz") == (200, "ok\n")
            assert await asked("GET", "/readyz?verbose") == (503, "waiting for key: TCB OutOfDate\n")
            assert (await asked("HEAD", "/readyz"))[0] == 503
            readiness.done("key")
            assert await asked("GET", "/readyz") == (200, "ready\n")
            for method, path in (("GET", "/v1/models/default"), ("GET", "/monitoring/prometheus/metrics"),
                                 ("POST", "/readyz"), ("GET", "/")):  # fmt: skip
                assert (await asked(method, path))[0] == 404

    asyncio.run(scenario())


def test_sv_01_the_health_port_tells_one_number_and_no_other_metric():
    async def scenario():
        load = Load()
        async with health_port("127.0.0.1", 0, Readiness(), load) as port:

            async def asked(method="GET"):
                return await asyncio.to_thread(ask, port, method, "/load")

            async def others():
                return 4.0

            assert await asked() == (503, "not serving yet\n")
            load.here = lambda: 3.0
            text = "# TYPE strongroom_requests_in_flight gauge\nstrongroom_requests_in_flight {}\n"
            assert await asked() == (200, text.format(3))
            load.elsewhere = others
            assert await asked() == (200, text.format(7))
            assert (await asked("POST"))[0] == 404

    asyncio.run(scenario())

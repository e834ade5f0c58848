"""Dead letters and a queue's standing, by the verbs that people use."""

import asyncio
import json

import pytest

from strongroom.cli import main


@pytest.fixture
def verb(redis_job, tmp_path, capsys):
    """Return what runs a verb as a role, and returns its exit status, its output and what it said on standard error."""

    def run(role, *words):
        path = tmp_path / f"{role}.yaml"
        if role == "admin":
            place = redis_job.place("admin")
            path.write_text(
                f"jobName: {redis_job.job.name}\nredisUrl: {place.spelled}\nredisUser: {place.user}\n"
                f"redisPasswordFile: {place.password_file}\nredisCaFile: {place.ca_file}\n"
                f"redisCertFile: {place.cert_file}\nredisKeyFile: {place.key_file}\n"
            )
        else:
            path.write_text(redis_job.config_yaml(role))
        status = main(["queue", *words, "-c", str(path)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def two_letters(in_queue):
    """Leave two dead letters: a plain one and a sealed one."""

    async def leave(bench):
        async with bench.running(worker := bench.worker(max_deliveries=0)):
            await bench.send("plain", [1, 2, 3, 4], deadline="99999999999999")
            await bench.send("sealed", serde="sealed", kid="00" * 8, data=b"x" * 100)
            await bench.until(lambda: worker.counts.dead_letters == 2)

    in_queue(leave)


def ids(verb):
    status, out, _ = verb("worker", "dead", "list", "--json")
    assert status == 0
    return {letter["uri"]: letter["id"] for letter in json.loads(out)}


def test_an_05_dead_letters_are_listed_and_shown_without_what_they_hold(verb, two_letters):
    assert ids(verb).keys() == {"plain", "sealed"}
    assert "unseal_failed" in verb("worker", "dead", "list")[1]
    _, out, _ = verb("worker", "dead", "show", ids(verb)["plain"])
    assert "d:x        16 bytes" in out
    _, out, _ = verb("worker", "dead", "show", ids(verb)["plain"], "--data", "--json")
    assert json.loads(out)["fields"]["d:x"] == "AACAPwAAAEAAAEBAAACAQA=="


def test_a_dead_letter_is_tried_again_and_answered(verb, two_letters, in_queue):
    status, out, _ = verb("admin", "dead", "requeue", ids(verb)["plain"])
    assert (status, "is" in out) == (0, True)
    assert ids(verb).keys() == {"sealed"}

    async def answered(bench):
        async with bench.running(bench.worker()):

            async def has_a_prediction():
                return b"code" not in await bench.raw_result("plain")

            await bench.until(has_a_prediction)

    in_queue(answered)


def test_a_sealed_dead_letter_is_its_senders_to_send_again(verb, two_letters):
    status, _, err = verb("admin", "dead", "requeue", ids(verb)["sealed"])
    assert (status, "SR-QUEUE-SEALED-LETTER" in err) == (3, True)
    status, _, err = verb("admin", "dead", "requeue", "--all")
    assert (status, "sealed; left" in err) == (0, True)
    assert ids(verb).keys() == {"sealed"}


def test_dead_letters_are_dropped(verb, two_letters):
    assert verb("worker", "dead", "drop", "--all")[1] == "dropped 2\n"
    assert verb("worker", "dead", "list")[2] == "there are no dead letters\n"


def test_a_dead_letter_that_is_not_there(verb):
    status, _, err = verb("worker", "dead", "show", "1-1")
    assert (status, "SR-QUEUE-NO-LETTER" in err) == (2, True)


@pytest.mark.parametrize("words", [("show",), ("requeue",), ("drop", "1-1", "--all")])
def test_dead_letters_are_named_or_all(verb, words):
    assert verb("worker", "dead", *words)[0] == 1


def test_a_probe_may_not_look_into_dead_letters(verb, two_letters):
    assert verb("probe", "dead", "list")[0] == 3


def test_d15_status_says_what_works_and_what_waits(verb, in_queue):
    status, out, _ = verb("probe", "status")
    assert (status, "no worker is alive" in out) == (4, True)

    async def working(bench):
        async with bench.running(bench.worker()):
            await bench.send("r", [1, 2, 3, 4])
            await bench.result("r")

            async def has_said_so():
                seen = await bench.queue.workers()
                return seen and seen[0].state["served"]

            await bench.until(has_said_so)
            status, out, _ = await asyncio.to_thread(verb, "probe", "status")
            assert (status, "worker-1  ready  tiny 1  served 1, errors 0" in out) == (0, True)

    in_queue(working)


def test_d15_status_without_redis_says_so(redis_job, own_redis, tmp_path, capsys):
    gone = own_redis()
    path = tmp_path / "config.yaml"
    path.write_text(gone.config_yaml("probe"))
    gone.server.stop()
    assert main(["queue", "status", "-c", str(path), "--json"]) == 4
    components = json.loads(capsys.readouterr().out)["components"]
    assert components["workers"] == "Redis is not reached"

"""The history checker finds what it is there to find: each broken history breaks one rule."""

import hashlib
from dataclasses import replace

import pytest

from strongroom.broker.ledger import chain

CHAIN = "the chain and its signed roots hold"
KEY = hashlib.sha256(b"key").hexdigest()
GOOD, OTHER = "e1" * 32, "e2" * 32
TIME = "2026-01-01T00:00:0{}.000Z"


@pytest.fixture(scope="session")
def checker(tool):
    return tool("chaos/checker")


def grant(number, **changes):
    return {"kind": "decision", "decision": "granted", "holder": f"h{number}", "lease": {"id": f"l{number}"},
            "evidence": {"mr_enclave": GOOD}, **changes}  # fmt: skip


def ledger(*records, times=None):
    head, lines, heads = chain.EMPTY, [], []
    for place, record in enumerate(records):
        line, head = chain.write_line(head, record, time=TIME.format(times[place] if times else 1))
        lines.append(line[:-1])
        heads.append(head)
    return lines, heads


@pytest.fixture
def sound(checker):
    """A history that breaks nothing: three releases by two brokers, a refusal, a fault in between."""
    lines, heads = ledger({"kind": "genesis"}, grant(1), {"kind": "decision", "decision": "denied"}, grant(2), grant(3))

    def attempt(kind, broker, at, outcome, **more):
        return checker.Attempt(kind=kind, protocol="gramine", broker=broker, begun_s=at, ended_s=at + 0.5,
                               outcome=outcome, measurement=GOOD, **more)  # fmt: skip

    return checker.History(
        attempts=[
            attempt("good", 0, 1, "secret", digest=KEY, holder="h1"),
            attempt("wrong", 0, 2, "BrokerRefused"),
            attempt("good", 1, 3, "BrokerUnreachable"),
            attempt("good", 0, 5, "secret", digest=KEY, holder="h2"),
            attempt("good", 1, 6, "secret", digest=KEY, lease="l3"),
            attempt("replay", 1, 6, "accepted", nonce="n1"),
            attempt("replay", 0, 6, "refused"),
        ],
        faults=[checker.Fault(kind="database", begun_s=2.5, ended_s=4)],
        heads=heads[1:3],
        lines=lines,
        ended_s=30,
    )


@pytest.fixture
def rules(checker):
    return checker.Rules(digest=KEY, measurements=frozenset({GOOD}), recover_s=5, brokers=2)


def broken(checker, history, rules):
    return sorted({violation.rule for violation in checker.check(history, rules)})


def test_a_sound_history_breaks_nothing(checker, sound, rules):
    assert checker.check(sound, rules) == []
    assert checker.summary(sound)["outcomes"]["good gramine secret"] == 3


def test_a_release_to_a_wrong_replica_is_found(checker, sound, rules):
    wrong = replace(sound.attempts[1], outcome="secret", digest=KEY, holder="h1")
    assert broken(checker, replace(sound, attempts=[*sound.attempts, wrong]), rules) == [
        "nothing is released against policy"
    ]


def test_another_secret_is_found(checker, sound, rules):
    other = replace(sound.attempts[0], digest="00" * 32)
    assert broken(checker, replace(sound, attempts=[*sound.attempts, other]), rules) == [
        "nothing is released against policy"
    ]


def test_a_grant_that_only_the_ledger_tells_of_is_found(checker, sound, rules):
    lines, _ = ledger({"kind": "genesis"}, grant(1), grant(2), grant(3), grant(4, evidence={"mr_enclave": OTHER}))
    assert broken(checker, replace(sound, lines=lines, heads=[]), rules) == ["nothing is released against policy"]


def test_a_grant_after_a_revocation_is_found(checker, sound, rules):
    assert checker.check(sound, replace(rules, revoked={GOOD: 4})) == []
    assert broken(checker, sound, replace(rules, revoked={GOOD: 3})) == ["nothing is released after a revocation"]


def test_a_client_that_asks_after_a_revocation_and_gets_the_secret_is_found(checker, sound, rules):
    assert checker.check(sound, replace(rules, revoked={GOOD: 4}, revoked_s=6.0)) == []
    assert broken(checker, sound, replace(rules, revoked={GOOD: 4}, revoked_s=5.5)) == [
        "nothing is released after a revocation"
    ]


def test_a_lease_that_outlives_its_revocation_is_found(checker, sound, rules):
    assert broken(checker, replace(sound, lingering=["l1"]), rules) == ["nothing is released after a revocation"]


def lent(number, expires_ms):
    return grant(number, rule="narrow", lease={"id": f"l{number}", "expires_ms": expires_ms})


@pytest.mark.parametrize(
    ("last", "exceeded"), [(lent(3, 20_999), True), (lent(3, 21_000), False), (lent(2, 13_000), False)]
)
def test_a_lease_more_than_the_limit_is_found(checker, sound, rules, last, exceeded):
    lines, _ = ledger({"kind": "genesis"}, grant(1), grant(2), grant(3), lent(1, 11_000), lent(2, 12_000), last)
    found = broken(checker, replace(sound, lines=lines, heads=[]), replace(rules, limits={"narrow": (2, 10_000)}))
    assert found == (["no more leases than the limit, over all brokers"] if exceeded else [])


def test_roots_that_were_signed_on_the_way_are_compared(checker, sound, rules):
    from strongroom.broker.ledger.merkle import leaf_hash, root_of

    roots = [(size, root_of([leaf_hash(line) for line in sound.lines[:size]]).hex()) for size in (1, 3, 5)]
    assert checker.check(replace(sound, roots=roots), rules) == []
    for wrong in ((3, "00" * 32), (6, roots[2][1])):
        assert broken(checker, replace(sound, roots=[*roots, wrong]), rules) == [CHAIN]


def test_what_the_products_own_check_says_counts(checker, sound, rules):
    assert broken(checker, replace(sound, faulty=["a root's signature does not hold"]), rules) == [CHAIN]


def test_brokers_that_stop_with_their_neighbour_are_found(checker, sound, rules):
    dead = checker.Fault(kind="kill", begun_s=7, ended_s=10, broker=0)
    later = replace(sound.attempts[0], begun_s=11, ended_s=12)
    other = replace(later, broker=1)
    faulty = replace(sound, faults=[dead], attempts=[*sound.attempts, later, other])
    assert broken(checker, faulty, rules) == ["the others serve meanwhile"]
    during = replace(later, broker=1, begun_s=8, ended_s=9)
    assert checker.check(replace(faulty, attempts=[*faulty.attempts, during]), rules) == []
    both = [dead, replace(dead, kind="database", broker=None)]
    assert checker.check(replace(faulty, faults=both), rules) == []


def test_every_rule_has_its_line_in_the_summary(checker, sound, rules):
    seen = set(broken(checker, replace(sound, lines=[], attempts=[], exits=["x"]), rules))
    assert seen <= set(checker.RULES)


@pytest.mark.parametrize("missing", [1, 3])
def test_a_lost_line_is_found(checker, sound, rules, missing):
    records = [{"kind": "genesis"}, *(grant(number) for number in (1, 2, 3) if number != missing)]
    lines, _ = ledger(*records)
    assert broken(checker, replace(sound, lines=lines, heads=[]), rules) == ["no acknowledged ledger line is lost"]


def test_an_attempt_that_nothing_ties_to_a_line_is_found(checker, sound, rules):
    loose = replace(sound.attempts[0], holder="")
    assert broken(checker, replace(sound, attempts=[*sound.attempts, loose]), rules) == [
        "no acknowledged ledger line is lost"
    ]


def test_a_nonce_that_was_accepted_twice_is_found(checker, sound, rules):
    again = replace(sound.attempts[5], broker=0)
    assert broken(checker, replace(sound, attempts=[*sound.attempts, again]), rules) == ["no nonce is accepted twice"]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:2] + lines[3:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:2], lines[2].replace(b"denied", b"Denied"), *lines[3:]],
    ],
    ids=["removed", "moved", "changed"],
)
def test_a_chain_that_does_not_hold_is_found(checker, sound, rules, change):
    assert CHAIN in broken(checker, replace(sound, lines=change(list(sound.lines))), rules)


def test_lines_that_were_seen_and_cut_off_are_found(checker, sound, rules):
    _, heads = ledger(*({"kind": "genesis"} for _ in range(9)))
    assert CHAIN in broken(checker, replace(sound, heads=[heads[8]]), rules)


def test_a_ledger_that_forked_is_found(checker, sound, rules):
    _, heads = ledger({"kind": "genesis"}, grant(7))
    assert CHAIN in broken(checker, replace(sound, heads=[heads[1]]), rules)


def test_a_time_that_goes_back_is_found(checker, sound, rules):
    lines, _ = ledger({"kind": "genesis"}, grant(1), grant(2), grant(3), times=[1, 3, 2, 4])
    assert broken(checker, replace(sound, lines=lines, heads=[]), rules) == ["times never go back"]


def test_a_release_by_a_broker_whose_clock_jumped_is_found(checker, sound, rules):
    jump = checker.Fault(kind="clock", begun_s=4.9, ended_s=5.9, broker=0)
    assert broken(checker, replace(sound, faults=[jump], ended_s=10), rules) == [
        "a broker whose clock jumped releases nothing"
    ]
    assert checker.check(replace(sound, faults=[replace(jump, broker=1)], ended_s=10), rules) == []


def test_a_broker_that_does_not_come_back_is_found(checker, sound, rules):
    kept = [each for each in sound.attempts if each.lease != "l3"]
    assert broken(checker, replace(sound, attempts=kept), rules) == ["service comes back by itself"]
    late = replace(sound, attempts=kept, ended_s=8)  # the run ended before the time was over
    assert checker.check(late, rules) == []


def test_a_broker_that_ended_by_itself_is_found(checker, sound, rules):
    assert broken(checker, replace(sound, exits=["broker 1 ended with 2"]), rules) == [
        "brokers outlive what is around them, and end when they are told"
    ]


def test_a_run_in_which_nothing_happened_proves_nothing(checker, sound, rules):
    assert "the run proves something" in broken(checker, replace(sound, attempts=[], faults=[]), rules)

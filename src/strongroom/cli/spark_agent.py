"""Prove what this process is, hold the keys it is given, and run a program that may ask for them.

What measured programs of a Spark job start with: the driver, a Master, a Worker. The broker releases the primary keys
(--key NAME: secret/data-NAME) and the job's secret (--job NAME: secret/spark-NAME) to this process alone; the program
after -- finds a socket (STRONGROOM_AGENT) that wraps and unwraps data keys, and a file with Spark's own secret
(STRONGROOM_SPARK_SECRET_FILE). Signals are passed on, and the exit status is the program's.

  strongroom spark agent --broker https://broker:8080 --broker-ca ca_cert.pem --key people --job demo
      -- strongroom spark submit --master spark://host:7077 app.py

With --keys file:FOLDER in place of a broker nothing is proved, and the keys are those of `strongroom data key NAME
--file FOLDER`: to try programs on one's own machine.

  strongroom spark agent --keys file:keys --key people -- python program.py

In a word of the program, {SPARK_SECRET_FILE} stands for that file's path and {MEMORY} for a private folder in memory;
with --ui-ca FILE, {SPARK_CONF_FILE} for settings that give the page of a Master or Worker TLS under the CA in FILE, and
with --ui-token FILE, {MEMORY}/page.token for what strongroom.submit.Login, as a filter of that page, wants to be shown.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.frame import Misuse

if TYPE_CHECKING:
    from strongroom.analytics.agent.admission import Asked
    from strongroom.analytics.agent.agent import Held

DROPPED = ("_SPARK_AUTH_SECRET", "SPARK_AUTHENTICATE_SECRET", "STRONGROOM_QUOTE_FD")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    asking_arguments(parser)
    parser.add_argument("--application", metavar="NAME", default="",
                        help="what driver and executors of one application agree on (default: the job)")  # fmt: skip
    parser.add_argument("--memory", type=Path, metavar="DIR", help="a folder in memory (default: /dev/shm)")
    parser.add_argument("--events", type=Path, metavar="FILE", help="append what was done with keys, as JSON lines")
    parser.add_argument("--ui-ca", type=Path, metavar="FILE",
                        help="give a page of Spark's daemons TLS, and write its CA certificate here")  # fmt: skip
    parser.add_argument("--ui-token", metavar="FILE", type=Path,
                        help="link the token of that page here, and beside it a .header for curl")  # fmt: skip
    parser.add_argument("--ui-host", metavar="NAME", action="append", default=[],
                        help="another name or address of that page; may be given again")  # fmt: skip
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="after --: the program to run")


def asking_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which broker is asked for what."""
    parser.add_argument("--broker", metavar="URL", help="https://HOST:PORT of the broker (KBS)")
    parser.add_argument("--broker-ca", metavar="FILE", type=Path,
                        help="CA certificate (PEM) that the broker's comes from")  # fmt: skip
    parser.add_argument("--keys", metavar="REFERENCE", help="instead of a broker: file:FOLDER of keys, for tests")
    parser.add_argument("--key", metavar="NAME", action="append", default=[],
                        help="a primary key to ask for; may be given again")  # fmt: skip
    parser.add_argument("--job", metavar="NAME", default="", help="the deployment whose Spark secret is asked for")
    parser.add_argument("--tenant", metavar="NAME", default="default", help="(default: default)")
    parser.add_argument("--deployment", metavar="NAME", help="ask in this deployment of the policy alone")
    parser.add_argument("--wait", metavar="SECONDS", type=float, default=60.0,
                        help="keep asking a broker that is not reached (default: 60)")  # fmt: skip


def asked_of(args: argparse.Namespace) -> Asked:
    """Return what is to be asked. Raises Misuse, BadKeyName."""
    from strongroom.analytics.agent.admission import Asked

    if args.broker is None or args.broker_ca is None:
        raise Misuse("nobody is named to have keys from",
                     fix="Give --broker URL and --broker-ca FILE, or for a test --keys file:FOLDER.")  # fmt: skip
    return Asked(
        broker=args.broker, ca=args.broker_ca, keys=_names(args), job=args.job, tenant=args.tenant,
        deployment=args.deployment, wait_s=args.wait,
    )  # fmt: skip


def _names(args: argparse.Namespace) -> tuple[str, ...]:
    from strongroom.datasets.names import check_key_name

    return tuple(check_key_name(name) for name in dict.fromkeys(args.key))


@contextmanager
def _held(args: argparse.Namespace) -> Iterator[Held]:
    """Hold the keys of a broker or, for tests, of files."""
    from strongroom.analytics.agent.agent import attested, serving
    from strongroom.analytics.agent.events import Events

    events = Events(args.events)
    if args.keys is None:
        with attested(
            asked_of(args), os.environ, application=args.application, memory=args.memory, events=events
        ) as held:
            yield held
        return
    if args.broker is not None or args.job:
        raise Misuse("keys come from a broker, or from files", fix="Leave out --keys, or --broker and --job.")

    from strongroom.analytics.keys.opening import open_keys
    from strongroom.analytics.submit.named_keys import NamedKeys

    with closing(open_keys(args.keys)) as keys, serving(
        NamedKeys(keys, _names(args)), memory=args.memory, events=events
    ) as held:  # fmt: skip
        yield held


def run(args: argparse.Namespace) -> int:
    """Attest, obtain, serve, run."""
    from strongroom.analytics.agent import child
    from strongroom.analytics.agent.agent import keep_memory_private
    from strongroom.analytics.agent.events import EVENTS_VARIABLE

    if not args.words:
        raise Misuse("there is no program to run", fix="Write it after --.")
    if args.ui_token is not None and args.ui_ca is None:
        raise Misuse("--ui-token is for a page with TLS", fix="Name --ui-ca FILE as well, or leave it out.")
    keep_memory_private()
    told = {} if args.events is None else {EVENTS_VARIABLE: str(args.events.absolute())}
    with _held(args) as held:
        places = {"{SPARK_SECRET_FILE}": str(held.secret_file or ""), "{MEMORY}": str(held.folder)}
        if args.ui_ca is not None:
            from strongroom.analytics.agent.daemon import write_page_settings, write_page_token

            places["{SPARK_CONF_FILE}"] = str(write_page_settings(held.folder, args.ui_ca, args.ui_host))
            if args.ui_token is not None:
                write_page_token(held.folder, args.ui_token, held.secret_file)
        return child.run(
            [_placed(word, places) for word in args.words],
            child.variables(os.environ, DROPPED, {**held.variables, **told}),
        )


def _placed(word: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        word = word.replace(name, place)
    return word

"""Run an unmodified Spark program, a .py or a class of a .jar, with everything encrypted and keys for attested parts.

Takes the options of spark-submit and of BigDL's ppml-spark-submit.sh (this command's other name); the first word that
is no option is the program, what follows is the program's. The exit status is the program's.

Keys come from an agent: of --broker, of `strongroom spark agent` when run under it, or for tests of --keys file:FOLDER.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

_OPTIONS = """\
options of ours:
  --key NAME            a primary key that the job may use; may be given again
  --broker URL          prove this process to the broker (KBS) and have the keys from it
  --broker-ca FILE      CA certificate (PEM) that the broker's comes from
  --job NAME            the deployment whose Spark secret is asked for (secret/spark-NAME)
  --keys file:FOLDER    key files instead, for tests; or agent:SOCKET
  --secret-file FILE    Spark's secret of the application (0600), for spark:// and k8s://
  --roll-call FILE      a cluster's: ends the job where executors are refused, and says which
  --cluster-file FILE   on Kubernetes: names, images and numbers that the cluster's side may choose
  --rpc aes|tls         how driver and executors encrypt (default: aes)
  --local-dir DIR       for spilled data: in memory or on an encrypted disk (default: /dev/shm)
  --event-log DIR       keep Spark's event log there, without what can hold data
  --report DIR          keep what strongroom spark report reads
  --log-file FILE       keep there what the program prints (0600)
  --no-ui, --no-progress
  --insecure            no protection and no keys: for measuring what protection costs

options of BigDL:
  --sgx-enabled true|false, --sgx-driver-jvm-memory SIZE, --sgx-executor-jvm-memory SIZE,
  --driver-template FILE, --executor-template FILE, --key-store FILE, --verbose

options of spark-submit:
  --master URL, --deploy-mode client, --class NAME, --name NAME, --jars, --py-files, --files, --archives,
  --conf NAME=VALUE, --properties-file FILE, --driver-memory SIZE, --executor-memory SIZE, --driver-cores N,
  --executor-cores N, --total-executor-cores N, --num-executors N, --driver-java-options, --driver-class-path
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take every word as it is: an option of the program must not be taken for one of ours."""
    parser.usage = "%(prog)s [OPTION]… app.py|app.jar [ARGUMENT]…"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _OPTIONS
    parser.prefix_chars = "\0"
    parser.set_defaults(print_help=parser.print_help)
    parser.add_argument("words", metavar="WORD", nargs=argparse.REMAINDER, help="options, the program, its arguments")


def run(args: argparse.Namespace) -> int:
    """Read the words, run the job."""
    from strongroom.analytics.submit.submitting import submit
    from strongroom.sparkjobs.flags import parse

    if args.words and args.words[0] in {"-h", "--help"}:
        args.print_help()
        return 0
    return submit(parse(args.words), os.environ)


def alias(words: Sequence[str] | None = None) -> int:
    """Run as ppml-spark-submit: BigDL's name for the same."""
    from strongroom.cli import main

    return main(["spark", "submit", *(sys.argv[1:] if words is None else words)])

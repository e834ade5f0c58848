"""Ask a model about photographs, over TLS, and say what was proved about who answered.

With --trust FOLDER the server first proves what program it is; nothing is sent before. FOLDER holds policy.toml (the
broker's grammar), anchors/ and collateral/; an owner hands it to clients. --crt without --ca pins that server
certificate; --ca, --crt and --key together are mutual TLS.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the client loads when the verb runs, not for --help
    from strongroom.client import Client

DEFAULT_TOP = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--url", required=True, help="https://HOST:8501 (REST) or grpcs://HOST:8500 (gRPC)")
    parser.add_argument("--model", required=True, help="name of the model")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version number (default: the server's newest)")
    which.add_argument("--version-label", help="version label, such as stable")
    parser.add_argument("--image", required=True, nargs="+", type=Path, help="photographs (JPEG, PNG, WEBP)")
    parser.add_argument("--labels", help="file with one class name per line, or the word imagenet")
    parser.add_argument("--top", type=int, default=DEFAULT_TOP, help="how many classes to print (default: 3)")
    parser.add_argument("--signature", default="", help="signature to call (default: serving_default)")
    parser.add_argument("--input", help="name of the input, where the model has several")
    parser.add_argument("--output", help="name of the output, where the model has several")
    channel_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def channel_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says whom to believe and what to show."""
    parser.add_argument("--ca", type=Path, help="CA of the server's certificate (default: the system's)")
    parser.add_argument("--crt", type=Path, help="client certificate; without --ca and --key, the server's, pinned")
    parser.add_argument("--key", type=Path, help="key of the client certificate")
    parser.add_argument("--server-name", help="name that the server's certificate carries, if not the host")
    parser.add_argument("--trust", type=Path, help="folder of rules, anchors and collateral: ask for evidence")
    parser.add_argument("--evidence-url", help="REST address of the same server, for grpcs:// with --trust")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for each request (default: 30)")
    parser.add_argument("--connections", type=int, default=1, metavar="N", help="spread requests over N (default: 1)")
    retries = "repeat what was not answered so often (default: only what no server began; 0: nothing)"
    parser.add_argument("--retries", type=int, metavar="N", help=retries)
    parser.add_argument("--insecure", action="store_true", help="allow http:// and grpc://: no TLS, nothing is proved")


def run(args: argparse.Namespace) -> int:
    """Classify each photograph, then print the proof."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # failures are told once, by us
    from strongroom.client import Classifier, ModelSpec, read_labels

    labels = read_labels(args.labels) if args.labels else None
    spec = ModelSpec(args.model, args.version, args.version_label)
    with open_client(args) as client:
        classifier = Classifier.of(
            client, spec, signature_name=args.signature, input_name=args.input, output_name=args.output
        )
        answers = [classifier.classify(image, labels, count=max(1, args.top)) for image in args.image]
        proof = client.proof(spec.name, version=spec.version, label=spec.label)
    if args.json:
        body = {"model": args.model, "images": [each.to_json_object() for each in answers], **proof.to_json_object()}
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
        return 0
    for answer in answers:
        sys.stdout.write(
            f"{answer.image.name}: {spec.name} version {classifier.version}, {1000 * answer.took_s:.0f} ms\n"
        )
        for ranked in answer.classes:
            sys.stdout.write(f"  {100 * ranked.probability:5.1f} %  {ranked.name}\n")
    sys.stdout.write("\n".join(proof.card()) + "\n")
    return 0


def open_client(args: argparse.Namespace) -> Client:
    """Return the client that the channel arguments describe."""
    from strongroom.client import Client

    pinned = args.crt is not None and args.ca is None and args.key is None
    return Client(
        args.url,
        ca=args.ca,
        pin=args.crt if pinned else None,
        certificate=None if pinned else args.crt,
        key=args.key,
        server_name=args.server_name,
        trust=args.trust,
        evidence_url=args.evidence_url,
        insecure=args.insecure,
        timeout_s=args.timeout,
        connections=args.connections,
        retries=args.retries,
    )

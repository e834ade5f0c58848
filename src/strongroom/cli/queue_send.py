"""Send records to a queue, and print their results.

Each file is one record: an image (JPEG, PNG), a tensor (.npy), inputs by name (.npz), or {"instances": […]} (.json,
its first instance). Results come in the order of the files, as text or with --json as one object a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the client loads when the verb runs, not for --help
    from collections.abc import Mapping, Sequence

    from strongroom.clusterserving.values import Result
    from strongroom.streaming.client import Client

SHOWN = 8
MAX_FILE_BYTES = 64 * 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="image, .npy, .npz or .json")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="read the queue's place from a config.yaml")
    parser.add_argument("--host", help="host of Redis (default: localhost)")
    parser.add_argument("--port", help="port of Redis (default: 6379)")
    parser.add_argument("--name", help="the job (default: serving_stream)")
    parser.add_argument("--input", default="t", help="name of the input of images and .npy files (default: t)")
    parser.add_argument("--ca", type=Path, help="CA of Redis' certificate (default: the system's)")
    parser.add_argument("--cert", type=Path, help="client certificate")
    parser.add_argument("--key", type=Path, help="key of the client certificate")
    parser.add_argument("--username", help="user of Redis")
    parser.add_argument("--password-file", type=Path, help="file (0600) with the user's password")
    parser.add_argument("--seal-to", type=Path, metavar="FILE", help="seal records to this public queue key")
    parser.add_argument("--owner-key", type=Path, metavar="FILE", help="owner_public.pem, which signed that key")
    parser.add_argument("--version", type=int, help="version of the model, where the key file leaves it open")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for all results (default: 30)")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to try where the queue is full (default: 0)")
    parser.add_argument("--plaintext", action="store_true", help="no TLS: a Redis on this machine alone")
    parser.add_argument("--original", action="store_true", help="the server is BigDL's Cluster Serving")
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def run(args: argparse.Namespace) -> int:
    """Send all files and wait for all results; where one is an error, return the exit status of that."""
    with open_client(args) as client:
        records = [read_record(path, args.input) for path in args.files]
        deadline_ms = None if args.original else max(1, int(1000 * args.timeout))
        from strongroom.streaming.client import Submission

        tickets = client.submit_many(
            [Submission(inputs=each, deadline_ms=deadline_ms) for each in records], wait_s=args.wait
        )
        results = client.results(tickets, args.timeout)
    for path, result in zip(args.files, results, strict=True):
        sys.stdout.write(f"{line(path, result, as_json=args.json)}\n")
    return _status(results)


def open_client(args: argparse.Namespace) -> Client:
    """Return the client that the arguments describe. Raises what Settings raise."""
    from strongroom.streaming.client import Client

    options = {
        word: value for word in (
            "host", "port", "name", "ca", "cert", "key", "username", "password_file", "seal_to", "owner_key", "version"
        ) if (value := getattr(args, word)) is not None
    }  # fmt: skip
    if args.config is not None:
        options["config"] = args.config
        return Client(**options)
    return Client(**options, plaintext=args.plaintext, original=args.original)


def read_record(path: Path, name: str) -> Mapping[str, Any]:
    """Return the inputs in a file. Raises BadRecord, BadImage, and OSError where there is no such file."""
    import numpy as np

    from strongroom.clusterserving.faults import BadRecord
    from strongroom.pki import disk
    from strongroom.streaming.client.inputs import image_of, request_inputs

    path.open("rb").close()  # no file, or a folder, is no bad image
    try:
        if path.suffix == ".npy":
            return {name: np.load(path, allow_pickle=False)}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        if path.suffix == ".json":
            return request_inputs(disk.read_bounded(path, limit=MAX_FILE_BYTES).decode("utf-8"))
    except (OSError, ValueError, EOFError) as problem:
        raise BadRecord(f"{path}: {problem}") from None
    return {name: image_of(path)}


def line(path: Path, result: Result, *, as_json: bool) -> str:
    """Return what is printed of a result."""
    if as_json:
        return json.dumps({"file": str(path), "uri": result.uri, **_found(result)})
    if result.error is not None:
        return f"{path}: {result.error.code} {result.error.sentence}"
    if result.text is not None:
        return f"{path}: {result.text}"
    outputs = [
        f"{name} {list(array.shape)}: {' '.join(map(_spelled, array.ravel()[:SHOWN].tolist()))}"
        + (" …" if array.size > SHOWN else "")
        for name, array in result.outputs.items()
    ]
    return f"{path}: {'; '.join(outputs)}"


def _spelled(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _found(result: Result) -> dict[str, object]:
    if result.error is not None:
        return {"error": result.error.to_json_object()}
    if result.text is not None:
        return {"text": result.text}
    return {"outputs": {name: {"shape": list(array.shape), "data": array.ravel().tolist()}
                        for name, array in result.outputs.items()}}  # fmt: skip


def _status(results: Sequence[Result]) -> int:
    return max((each.error.exit_status for each in results if each.error is not None), default=0)

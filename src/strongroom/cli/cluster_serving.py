"""The original's commands (cluster-serving-init, -start, -stop, -shutdown, -restart, -cli) as words for ours.

What they ran by hand (Redis, a Flink cluster, a job) is strongroom queue up here, in the folder `queue` beside the
configuration. Shutting down is stopping: Redis ends with its queue, and its data stay.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from strongroom.cli.frame import Misuse, Parser, dispatch, guarded
from strongroom.cli.option_types import whole_number

CONFIG: Final = Path("config.yaml")
TEMPLATE: Final = """\
## Strongroom Cluster Serving: the keys that most people set; docs/queue.md lists all of them.

# The folder with the model: ONNX, SavedModel, OpenVINO, or a sealed bundle
modelPath: /path/to/model

# The queue's name (serving_stream where it is empty)
jobName:

# Several models on one machine: how many copies, and threads for each
modelParallelism: 1
threadPerModel: 1

# Images: height,width that they are resized to. Results: topN(k) for the k largest values
imageResize:
postProcessing:
"""


def init() -> int:
    """Write a config.yaml to fill in."""
    return guarded(lambda: _init(sys.argv[1:]), as_json=False)


def start() -> int:
    """Start the queue of config.yaml in the background."""
    return guarded(lambda: _start(sys.argv[1:]), as_json=False)


def stop() -> int:
    """End it."""
    return guarded(lambda: _stop(sys.argv[1:]), as_json=False)


def restart() -> int:
    """End it and start it again."""
    return guarded(lambda: _restart(sys.argv[1:]), as_json=False)


def cli() -> int:
    """Run one of the others by its name: cluster-serving-cli start."""
    return guarded(lambda: _cli(sys.argv[1:]), as_json=False)


def _init(words: Sequence[str]) -> int:
    from strongroom.pki import disk

    Parser(prog="cluster-serving-init", description="Write a config.yaml to fill in.").parse_args(words)
    disk.write_public(CONFIG.absolute(), TEMPLATE.encode())
    sys.stdout.write(f"{CONFIG} is written: set modelPath, then run cluster-serving-start.\n")
    return 0


def _start(words: Sequence[str]) -> int:
    args = _arguments("start", words)
    if args.omp is not None:
        os.environ["OMP_NUM_THREADS"] = str(args.omp)  # engines read it; children inherit it
    return dispatch(["queue", "up", "-c", str(args.config_path), "--folder", str(_folder(args)), "--detach"])


def _stop(words: Sequence[str]) -> int:
    return dispatch(["queue", "down", "--folder", str(_folder(_arguments("stop", words)))])


def _restart(words: Sequence[str]) -> int:
    args = _arguments("restart", words)
    dispatch(["queue", "down", "--folder", str(_folder(args))])
    return _start(words)


def _cli(words: Sequence[str]) -> int:
    known: dict[str, Callable[[Sequence[str]], int]] = {
        "init": _init, "start": _start, "stop": _stop, "shutdown": _stop, "restart": _restart,
    }  # fmt: skip
    if not words or words[0] not in known:
        raise Misuse("cluster-serving-cli needs one more word", fix=f"One of: {', '.join(known)}.")
    return known[words[0]](words[1:])


def _arguments(name: str, words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog=f"cluster-serving-{name}")
    parser.add_argument("-c", "--config_path", type=Path, default=CONFIG, metavar="FILE", help="(default: config.yaml)")
    parser.add_argument("-o", "--omp", type=whole_number(1, 1024), metavar="N", help="threads of an engine (OMP)")
    return parser.parse_args(words)


def _folder(args: argparse.Namespace) -> Path:
    return Path(args.config_path).absolute().parent / "queue"

"""Answer HTTPS requests by a queue or a model server, with the original's paths and flags.

Only TLS is spoken, on --securePort; nothing listens on --port. The queue is that of -c config.yaml, or of the flags
below; --model-server answers without a queue. Passwords come from files (0600), and certificates that are replaced on
the disk are used without a restart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # what a verb needs loads when it runs
    from strongroom.clusterserving.config import QueueConfig
    from strongroom.streaming.frontend.backends import Settings
    from strongroom.streaming.frontend.options import FrontOptions, ModelServer

DEFAULT_TIMEOUT_MS: Final = 100_000
_WITHOUT_EFFECT: Final = ("port", "timeWindow", "countWindow")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: the original's by their long names, then ours."""
    original = parser.add_argument_group("the original's flags")
    original.add_argument("--interface", default="0.0.0.0", help="address to listen on (default 0.0.0.0)")  # noqa: S104
    original.add_argument("--securePort", type=int, default=10023, help="port with TLS (default 10023; 0: any)")
    original.add_argument("--httpsEnabled", type=_switch, nargs="?", const=True, help="true; false is refused")
    original.add_argument("--httpsKeyStorePath", type=Path, required=True, metavar="FILE", help="PEM, PKCS12 or JKS")
    original.add_argument("--httpsKeyStoreToken", metavar="REFUSED", help="refused: give the file")
    original.add_argument("--redisHost", help="host of Redis (default: the configuration's)")
    original.add_argument("--redisPort", type=int, help="its port")
    original.add_argument("--redisInputQueue", metavar="JOB", help="the queue (jobName)")
    original.add_argument("--redisOutputQueue", metavar="PREFIX", help="checked: cluster-serving_JOB:")
    original.add_argument("--redisSecureEnabled", type=_switch, nargs="?", const=True, help="TLS to Redis")
    original.add_argument("--redissTrustStorePath", metavar="FILE", help="CA of Redis' certificate")
    original.add_argument("--redissTrustStoreToken", metavar="REFUSED", help="refused: give the file")
    original.add_argument("--parallelism", type=int, default=1000, help="requests at a time (default 1000)")
    original.add_argument("--tokenBucketEnabled", type=_switch, nargs="?", const=True, default=False)
    original.add_argument("--tokensPerSecond", type=int, default=100, help="requests in any second (default 100)")
    original.add_argument("--tokenAcquireTimeout", type=int, default=100, help="wait for a token, ms (default 100)")
    original.add_argument("--servableManagerConfPath", type=Path, metavar="FILE", help="list of models")
    for name in _WITHOUT_EFFECT:
        original.add_argument(f"--{name}", type=int, help="no effect")
    ours = parser.add_argument_group("ours")
    ours.add_argument("-c", "--config", type=Path, metavar="FILE", help="the queue's config.yaml")
    ours.add_argument("--httpsKeyPath", type=Path, metavar="FILE", help="the key, where it is not in the key store")
    ours.add_argument("--httpsKeyStoreTokenFile", type=Path, metavar="FILE", help="file with the key store's password")
    ours.add_argument("--redissTrustStoreTokenFile", metavar="FILE", help="file with the trust store's password")
    ours.add_argument("--httpsClientCaPath", type=Path, metavar="FILE", help="callers need a certificate of this CA")
    ours.add_argument("--requestTimeoutMs", type=int, help="deadline of a request without its own (default 100000)")
    ours.add_argument("--maxBodyBytes", type=int, default=64 * 1024 * 1024, help="of one request (default 64 MiB)")
    ours.add_argument("--model-server", metavar="HOST:PORT", help="answer by a model server's REST port instead")
    ours.add_argument("--modelName", help="its model")
    ours.add_argument("--modelVersion", type=int, help="the model's version (default: the server's choice)")
    ours.add_argument("--model-server-ca", type=Path, metavar="FILE", help="CA of the model server's certificate")
    ours.add_argument("--model-server-crt", type=Path, metavar="FILE", help="certificate that we show it")
    ours.add_argument("--model-server-key", type=Path, metavar="FILE", help="the certificate's key")
    ours.add_argument("--model-server-trust", type=Path, metavar="FOLDER", help="rules that it has to prove itself by")
    ours.add_argument("--json", action="store_true", help="say where it listens as JSON")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s] %(message)s"
    )
    options = options_of(args)
    log = logging.getLogger("strongroom.queue.frontend")
    for name in _WITHOUT_EFFECT:
        if getattr(args, name) is not None:
            log.info("--%s has no effect here", name)
    from strongroom.serving.loops import run as run_loop

    run_loop(_serve(options, as_json=args.json))
    return 0


def options_of(args: argparse.Namespace) -> FrontOptions:
    """Return what the command line asks for. Raises PlainFrontRefused, FrontOption and what a configuration raises."""
    from strongroom.streaming.frontend.keystore import KeyFiles
    from strongroom.streaming.frontend.options import FrontOptions, PlainFrontRefused

    if args.httpsEnabled is False:
        raise PlainFrontRefused("--httpsEnabled false: the front end speaks TLS alone")
    for name in ("httpsKeyStoreToken", "redissTrustStoreToken"):
        if getattr(args, name) is not None:
            raise PlainFrontRefused(
                f"--{name} puts a password where every user of the machine can read it",
                fix=f"Write it into a file of mode 0600 and give --{name}File FILE; take another password.",
            )
    keys = KeyFiles(
        store=args.httpsKeyStorePath, key=args.httpsKeyPath, password=args.httpsKeyStoreTokenFile,
        client_ca=args.httpsClientCaPath,
    )  # fmt: skip
    config = _config(args)
    return FrontOptions(
        keys=keys, interface=args.interface, port=args.securePort, config=config,
        servables=args.servableManagerConfPath, model_server=_model_server(args), settings=_settings(args, config),
    )  # fmt: skip


def _config(args: argparse.Namespace) -> QueueConfig:
    from strongroom.clusterserving.config import MAX_CONFIG_BYTES, QueueConfig
    from strongroom.pki import disk
    from strongroom.streaming.frontend.options import FrontOption

    config = QueueConfig()
    if args.config is not None:
        config, warnings = QueueConfig.parse(disk.read_bounded(args.config, limit=MAX_CONFIG_BYTES))
        for each in warnings:
            sys.stderr.write(f"{args.config}: {each}\n")
    asked = {
        "redis_host": args.redisHost, "redis_port": args.redisPort, "job_name": args.redisInputQueue,
        "redis_tls": args.redisSecureEnabled, "redis_trust_store": args.redissTrustStorePath,
        "redis_trust_store_password_file": args.redissTrustStoreTokenFile,
    }  # fmt: skip
    config = replace(config, **{name: value for name, value in asked.items() if value is not None})
    if args.redisOutputQueue not in {None, config.job.result_prefix}:
        raise FrontOption(f"--redisOutputQueue: workers of {config.job.name} write to {config.job.result_prefix}")
    return config


def _settings(args: argparse.Namespace, config: QueueConfig) -> Settings:
    from strongroom.streaming.frontend.backends import Settings
    from strongroom.streaming.frontend.options import FrontOption

    if args.requestTimeoutMs is None:
        args.requestTimeoutMs = config.default_deadline_ms or DEFAULT_TIMEOUT_MS
    for name in ("parallelism", "tokensPerSecond", "requestTimeoutMs", "maxBodyBytes"):
        if not 1 <= getattr(args, name) <= 1 << 30:
            raise FrontOption(f"--{name} {getattr(args, name)} is not from 1 to {1 << 30}")
    if not 0 <= args.tokenAcquireTimeout <= 60_000:
        raise FrontOption(f"--tokenAcquireTimeout {args.tokenAcquireTimeout} is not from 0 to 60000 ms")
    return Settings(
        parallelism=args.parallelism,
        tokens_per_second=args.tokensPerSecond if args.tokenBucketEnabled else None,
        patience_s=args.tokenAcquireTimeout / 1000,
        timeout_s=args.requestTimeoutMs / 1000,
        body_bytes=args.maxBodyBytes,
        client_certificates=args.httpsClientCaPath is not None,
    )


def _model_server(args: argparse.Namespace) -> ModelServer | None:
    from strongroom.streaming.frontend.options import FrontOption, ModelServer

    if args.model_server is None:
        if args.modelName or args.modelVersion or args.model_server_ca or args.model_server_trust:
            raise FrontOption("--modelName and --model-server-... are for --model-server HOST:PORT")
        return None
    return ModelServer(
        address=args.model_server, model=args.modelName, version=args.modelVersion, ca=args.model_server_ca,
        certificate=args.model_server_crt, key=args.model_server_key, trust=args.model_server_trust,
    )  # fmt: skip


async def _serve(options: FrontOptions, *, as_json: bool) -> None:
    from strongroom.streaming.frontend.run import serve

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(port: int) -> None:
        line = json.dumps({"listening": options.interface, "port": port}) if as_json else (
            f"listening on https://{options.interface}:{port}"
        )  # fmt: skip
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    await serve(options, stop, ready=ready)


def _switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise argparse.ArgumentTypeError("true or false")
    return text.lower() == "true"

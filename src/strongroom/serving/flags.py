"""From the flags of a command line to checked options: one function for each group of options. Pure.

`flag_table` says which flags there are and what each one does. Source: spec `model-server.md` section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from strongroom.broker.kbs_client import Address
from strongroom.broker.names import DEFAULT_TENANT, check_tenant
from strongroom.errors import BadInput
from strongroom.serving.flag_table import FLAGS, Effect, Value
from strongroom.serving.options import (
    MAX_MESSAGE_BYTES,
    BadOptions,
    BatchingOptions,
    BrokerOptions,
    FlagNotOffered,
    HostPort,
    LimitOptions,
    ListeningOptions,
    ModelOptions,
    MonitoringOptions,
    Options,
    RestOptions,
    RuntimeOptions,
)
from strongroom.tfserving.json_response import NonFinite


def without_effect(given: Mapping[str, Value]) -> list[str]:
    """Return a sentence for each given flag that has no effect here."""
    return [f"--{name} has no effect: {FLAGS[name].about}" for name in given if FLAGS[name].effect is Effect.NO_EFFECT]


def with_environment(given: Mapping[str, Value], environ: Mapping[str, str]) -> Mapping[str, Value]:
    """Return the flags with what TensorFlow Serving's images take from MODEL_NAME and MODEL_BASE_PATH.

    Flags that are given go before; without either variable nothing is added.
    """
    name, base = environ.get("MODEL_NAME", ""), environ.get("MODEL_BASE_PATH", "")
    if not name and not base:
        return given
    name, base = name or "model", base or "/models"
    found: dict[str, Value] = {"port": 8500, "rest_api_port": 8501, "model_name": name}
    if not given.get("model_config_file"):
        found["model_base_path"] = f"{base}/{given.get('model_name', name)}"
    return {**found, **given}


def options_of(given: Mapping[str, Value]) -> Options:
    """Return checked options from the flags that were given. Raises BadOptions, FlagNotOffered or PlaintextServer."""
    _refuse_contradictions(given)
    for name, value in given.items():
        flag = FLAGS[name]
        if flag.effect is Effect.OFF_ONLY and value != flag.default:
            raise FlagNotOffered(f"--{name} is not offered: {flag.about}")
    flags = _Flags(given)
    options = Options(
        models=_models(flags),
        runtime=_runtime(flags),
        batching=_batching(flags),
        listening=_listening(flags),
        rest=_rest(flags),
        limits=_limits(flags),
        monitoring=_monitoring(flags),
        broker=_broker(flags),
    )
    options.check()
    return options


def _refuse_contradictions(given: Mapping[str, Value]) -> None:
    """Raise TensorFlow Serving's start errors, which its users know by their texts."""
    if not given.get("model_base_path") and not given.get("model_config_file"):
        raise BadOptions(
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
            fix="Give --model_base_path: the folder that has the folder 1 (or another number) in it.",
        )
    if given.get("batching_parameters_file") and not given.get("enable_batching"):
        raise BadOptions(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    if given.get("use_alts_credentials") and given.get("ssl_config_file"):
        raise BadOptions("Either use_alts_credentials must be false or ssl_config_file must be empty.")
    kinds = ("session", "intra_op", "inter_op")
    if all(cast("int", given.get(f"tensorflow_{kind}_parallelism", 0)) > 0 for kind in kinds):
        raise BadOptions(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) "
            "separately. You cannot configure all."
        )


def _models(flags: _Flags) -> ModelOptions:
    return ModelOptions(
        name=flags.text("model_name"),
        base_path=Path(flags.text("model_base_path")),
        config_file=flags.path("model_config_file"),
        config_poll_s=flags.number("model_config_file_poll_wait_seconds"),
        poll_wait_s=flags.number("file_system_poll_wait_seconds"),
        load_threads=flags.threads("num_load_threads"),
        unload_threads=flags.threads("num_unload_threads"),
        max_load_retries=flags.number("max_num_load_retries"),
        load_retry_s=flags.number("load_retry_interval_micros") / 1e6,
        labels_for_unavailable=flags.switch("allow_version_labels_for_unavailable_models"),
        labels_when_available=flags.switch("labels_when_available"),
        reload_by_request=flags.switch("allow_reload"),
    )


def _runtime(flags: _Flags) -> RuntimeOptions:
    threads = flags.number("tensorflow_session_parallelism")
    return RuntimeOptions(
        engine=flags.one_of("engine", ("auto", "onnx", "tensorflow", "openvino")),
        openvino_precision=flags.one_of("openvino_precision", ("f32", "bf16")),
        intra_op_threads=flags.threads("tensorflow_intra_op_parallelism") or threads,
        inter_op_threads=flags.threads("tensorflow_inter_op_parallelism") or threads,
        session_config=flags.path("tensorflow_session_config_file"),
        saved_model_tags=tuple(filter(None, flags.text("saved_model_tags").split(","))),
        check_method_names=flags.switch("enable_signature_method_name_check"),
        warmup=flags.switch("enable_model_warmup"),
        warmup_iterations=max(flags.number("num_request_iterations_for_warmup"), 1),
    )


def _batching(flags: _Flags) -> BatchingOptions:
    return BatchingOptions(
        enabled=flags.switch("enable_batching"),
        parameters_file=flags.path("batching_parameters_file"),
        per_model=flags.switch("enable_per_model_batching_parameters"),
        drain=flags.switch("drain_batching"),
    )


def _listening(flags: _Flags) -> ListeningOptions:
    return ListeningOptions(
        bind=flags.text("bind"),
        grpc_port=flags.port("port"),
        grpc_socket=flags.text("grpc_socket_path"),
        rest_port=flags.port("rest_api_port"),
        ssl_config=flags.path("ssl_config_file"),
        insecure=flags.switch("insecure"),
        channel_arguments=_channel_arguments(flags.text("grpc_channel_arguments")),
        drain_s=float(flags.positive("drain_seconds")),
        rpc=flags.text("rpc"),
        one_port=flags.switch("one_port"),
        processes=flags.number("processes"),
    )


def _rest(flags: _Flags) -> RestOptions:
    return RestOptions(
        timeout_s=flags.positive("rest_api_timeout_in_ms") / 1000,
        cors=flags.switch("rest_api_enable_cors_support"),
        outputs_as_content=flags.switch("enable_serialization_as_tensor_content"),
        nan=_non_finite(flags.text("rest_nan")),
    )


def _non_finite(text: str) -> NonFinite:
    try:
        return NonFinite(text)
    except ValueError:
        raise BadOptions(f"--rest_nan is {text[:80]!r}, wanted {', '.join(NonFinite)}") from None


def _limits(flags: _Flags) -> LimitOptions:
    return LimitOptions(
        max_message_bytes=flags.size("max_message_bytes"),
        max_body_bytes=flags.size("max_body_bytes"),
        max_held_bytes=flags.size("max_held_bytes", most=2**50),
        max_connections=int(flags.positive("max_connections")),
    )


def _monitoring(flags: _Flags) -> MonitoringOptions:
    return MonitoringOptions(
        config_file=flags.path("monitoring_config_file"),
        grpc_health=flags.switch("enable_grpc_healthcheck_service"),
        reflection=flags.switch("enable_reflection"),
        health_bind=flags.text("health_bind"),
        health_port=flags.port("health_port"),
    )


_NEED_A_BROKER: Final = ("wait_for_key", "key_lease_seconds", "self_check", "self_check_root", "tenant", "deployment")


def _broker(flags: _Flags) -> BrokerOptions | None:
    named = {name: flags.text(name) for name in ("broker", "broker_ca", "owner_key")}
    missing = [f"--{name}" for name, text in named.items() if not text]
    if len(missing) == len(named):
        if lonely := [f"--{name}" for name in _NEED_A_BROKER if flags.value(name)]:
            raise BadOptions(f"{lonely[0]} is about a key, and no broker is named", fix="Give --broker as well.")
        return None
    if missing:
        raise BadOptions(
            f"{' and '.join(missing)} is missing: a sealed model needs a broker, its CA and its owner's public key",
            fix="Give --broker, --broker_ca and --owner_key together.",
        )
    return BrokerOptions(
        **_asked(flags, named["broker"]),
        ca=Path(named["broker_ca"]),
        wait_s=float(flags.positive("broker_wait_seconds")),
        patient=flags.switch("wait_for_key"),
        lease_s=flags.seconds("key_lease_seconds"),
        self_check=flags.text("self_check"),
        self_check_root=flags.path("self_check_root"),
        owner_key=Path(named["owner_key"]),
    )


def _asked(flags: _Flags, broker: str) -> dict[str, Any]:
    """Return where the keys come from, and what an https broker is asked for besides."""
    named = {name: flags.text(name) for name in ("tenant", "deployment")}
    if "://" not in broker:
        if lonely := [f"--{name}" for name, text in named.items() if text]:
            raise BadOptions(f"{lonely[0]} is for a broker at https://, and --broker names none")
        return {"address": HostPort.parse(broker, flag="--broker")}
    try:
        place, tenant = Address.parse(broker), check_tenant(named["tenant"] or DEFAULT_TENANT)
    except BadInput as problem:
        raise BadOptions(f"--broker or --tenant: {problem.sentence}", fix=problem.fix) from None
    return {
        "address": HostPort(place.host, place.port), "url": str(place), "tenant": tenant,
        "deployment": named["deployment"],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Flags:
    """The flags that were given over the defaults, by type."""

    given: Mapping[str, Value]

    def value(self, name: str) -> Value:
        return self.given.get(name, FLAGS[name].default)

    def text(self, name: str) -> str:
        return str(self.value(name))

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text) if text else None

    def switch(self, name: str) -> bool:
        return bool(self.value(name))

    def number(self, name: str) -> int:
        return int(self.value(name))

    def one_of(self, name: str, words: Sequence[str]) -> str:
        text = self.text(name)
        if text not in words:
            raise BadOptions(f"--{name} is {text[:80]!r}, wanted one of {', '.join(words)}")
        return text

    def positive(self, name: str) -> int | float:
        value = cast("int | float", self.value(name))
        if not 0 < value < 10**9:
            raise BadOptions(f"--{name} is {value}, wanted a positive number")
        return value

    def seconds(self, name: str) -> float:
        value = float(cast("float", self.value(name)))
        if not (value == 0 or 1 <= value < 10**9):
            raise BadOptions(f"--{name} is {value:g}, wanted 0 or at least 1 second")
        return value

    def port(self, name: str) -> int:
        value = self.number(name)
        if not 0 <= value <= 65535:
            raise BadOptions(f"--{name} is {value}, wanted a port up to 65535")
        return value

    def threads(self, name: str) -> int:
        value = self.number(name)
        if not 0 <= value <= 1024:
            raise BadOptions(f"--{name} is {value}, wanted 0 to 1024 threads")
        return value

    def size(self, name: str, *, most: int = MAX_MESSAGE_BYTES) -> int:
        value = self.number(name)
        if not 1024 <= value <= most:
            raise BadOptions(f"--{name} is {value}, wanted 1024 to {most} bytes")
        return value


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """Read `k=v,k=v`; numbers become integers, as gRPC wants them."""
    found: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise BadOptions(f"--grpc_channel_arguments has {part[:80]!r}, wanted k=v,k=v")
        found.append((key.strip(), int(value) if value.lstrip("-").isdecimal() and len(value) < 12 else value))
    return tuple(found)

"""The table of the server's flags: TensorFlow Serving's names, then ours; what each one does here. Pure.

Nothing is ignored in silence: a flag works, is accepted without effect and says why, or is refused by name unless it is
set to the value that means off. Source: spec `model-server.md` section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from strongroom.serving.options import MAX_BODY_BYTES, MAX_HELD_BYTES, MAX_MESSAGE_BYTES, BadOptions

Value = str | int | float | bool


class Effect(Enum):
    """What a flag does here."""

    WORKS = "works"
    NO_EFFECT = "accepted, no effect here"
    OFF_ONLY = "only the value that means off"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: its default tells its type. `about` is its help, or the reason why it is not offered."""

    name: str
    default: Value
    about: str
    effect: Effect = Effect.WORKS

    def parse(self, text: str) -> Value:
        """Return a value from the command line. Raises BadOptions."""
        if isinstance(self.default, bool):
            return _boolean(self.name, text)
        try:
            return type(self.default)(text)
        except ValueError:
            raise BadOptions(f"--{self.name} is {text[:80]!r}, wanted a number like {self.default}") from None


def _works(name: str, default: Value, about: str) -> Flag:
    return Flag(name, default, about)


def _no_effect(name: str, default: Value, about: str) -> Flag:
    return Flag(name, default, about, Effect.NO_EFFECT)


def _off_only(name: str, default: Value, about: str) -> Flag:
    return Flag(name, default, about, Effect.OFF_ONLY)


TENSORFLOW_SERVING: Final = (
    _works("port", 8500, "gRPC port; 0 = none, then --grpc_socket_path is needed"),
    _works("grpc_socket_path", "", "gRPC on a unix socket as well"),
    _works("rest_api_port", 0, "REST port; 0 = none"),
    _works("rest_api_timeout_in_ms", 30000, "how long a REST request may run"),
    _works("rest_api_enable_cors_support", False, "answer browsers' cross-origin requests"),
    _works("ssl_config_file", "", "ssl.cfg (text SSLConfig) for gRPC and REST alike; sealed where --broker is given"),
    _works("grpc_channel_arguments", "", "k=v,k=v for the gRPC server, for instance grpc.max_connection_age_ms=60000"),
    _works("enable_grpc_healthcheck_service", False, "offer grpc.health.v1.Health, which tells the truth"),
    _works("enable_serialization_as_tensor_content", False, "gRPC outputs in tensor_content"),
    _works("monitoring_config_file", "", "text MonitoringConfig: Prometheus metrics on the REST port"),
    _works("model_name", "default", "the name that requests use; --model_config_file goes before it"),
    _works("model_base_path", "", "the folder with one folder for each version; needed without --model_config_file"),
    _works("model_config_file", "", "text ModelServerConfig: several models, version policies, labels"),
    _works("model_config_file_poll_wait_seconds", 0, "read that file again every so often; 0 = once, and at SIGHUP"),
    _works(
        "file_system_poll_wait_seconds", 1, "look for versions every so often; 0 = once, negative = when asked alone"
    ),
    _works("num_load_threads", 0, "versions loaded at a time; 0 = one"),
    _works("num_unload_threads", 0, "versions unloaded at a time; 0 = one"),
    _works("max_num_load_retries", 5, "further tries of a load that failed for the moment's sake, not the files'"),
    _works("load_retry_interval_micros", 60000000, "pause between tries; negative = none"),
    _works("allow_version_labels_for_unavailable_models", False, "let a new label name a version that is not loaded"),
    _works("saved_model_tags", "serve", "which graph of a SavedModel is served: the one with exactly these tags"),
    _works("enable_signature_method_name_check", False, "refuse to call a signature for what it was not exported for"),
    _works("enable_model_warmup", True, "replay a version's warm-up file before it is served"),
    _works("num_request_iterations_for_warmup", 0, "how often each warm-up request runs; 0 = once"),
    _works("enable_batching", False, "join requests by parameters; without it, what queued meanwhile is joined"),
    _works("batching_parameters_file", "", "text BatchingParameters; needs --enable_batching"),
    _works(
        "enable_per_model_batching_parameters",
        False,
        "read each version's batching_params.pbtxt; the file gives threads",
    ),
    _works("tensorflow_session_parallelism", 0, "threads of one run, both kinds; 0 = all cores"),
    _works("tensorflow_intra_op_parallelism", 0, "threads within an operation; 0 = all cores"),
    _works("tensorflow_inter_op_parallelism", 0, "operations side by side; 0 = the engine's choice"),
    _works("tensorflow_session_config_file", "", "text ConfigProto: its two thread counts, where no flag gives them"),
    _no_effect("rest_api_num_threads", 0, "REST runs on one event loop and one thread for each model"),
    _no_effect("grpc_max_threads", 0, "gRPC runs on one event loop"),
    _no_effect("flush_filesystem_caches", True, "nothing is cached"),
    _no_effect("per_process_gpu_memory_fraction", 0.0, "models run on the CPU"),
    _no_effect("enable_profiler", True, "there is no profiler"),
    _no_effect("num_tflite_pools", 1, "there is no TensorFlow Lite"),
    _no_effect("num_tflite_interpreters_per_pool", 1, "there is no TensorFlow Lite"),
    _no_effect("remove_unused_fields_from_bundle_metagraph", True, "unused fields are not kept"),
    _no_effect("mixed_precision", "", "models run as they were exported"),
    _no_effect("skip_initialize_tpu", False, "models run on the CPU"),
    _no_effect("xla_cpu_compilation_enabled", False, "there is no XLA"),
    _no_effect("xla_gpu_compilation_enabled", False, "there is no XLA"),
    _off_only("use_alts_credentials", False, "ALTS exists on Google's machines alone; use --ssl_config_file"),
    _off_only("platform_config_file", "", "platforms are not configured"),
    _off_only("prefer_tflite_model", False, "there is no TensorFlow Lite"),
    _off_only("thread_pool_factory_config_file", "", "thread pools are not configured"),
)
STRONGROOM: Final = (
    _works(
        "engine", "auto", "auto = what the version holds; onnx, tensorflow or openvino = that engine for all models"
    ),
    _works("openvino_precision", "f32", "f32, or bf16: faster on CPUs that have it, and less exact"),
    _works(
        "drain_batching", True, "join requests that queue while the engine is busy, where their rows prove independent"
    ),
    _works("bind", "127.0.0.1", "address to listen on; 0.0.0.0 lets other machines in (TensorFlow Serving's default)"),
    _works("allow_reload", True, "let clients exchange the models; false = only the configuration file and SIGHUP do"),
    _works("labels_when_available", False, "take any label; it means its version from when that is AVAILABLE"),
    _works("insecure", False, "answer without TLS, on a loopback address only"),
    _works(
        "broker",
        "",
        "https://HOST:PORT of the broker: each sealed version's own key (KBS); HOST:PORT: one key (Gramine's protocol)",
    ),
    _works("tenant", "", "whose keys to ask an https broker for (default: default)"),
    _works("deployment", "", "with an https broker: take keys from the broker of this deployment alone"),
    _works("broker_ca", "", "the owner's CA certificate (PEM), which the broker's certificate must come from"),
    _works("broker_wait_seconds", 60.0, "how long to keep trying to reach the broker"),
    _works("wait_for_key", False, "stay up, not ready, until the broker releases the key; a refusal is asked again"),
    _works("key_lease_seconds", 0.0, "prove anew within so many seconds, or stop answering; 0 = the key is kept"),
    _works("self_check", "", "while the key is refused, say on /readyz what collateral from here says of this machine"),
    _works("self_check_root", "", "a root certificate (PEM) to trust in that check, beside Intel's"),
    _works(
        "health_port", 0, "answer /healthz, /readyz and /load in clear text, before there is a key; 0 = no such port"
    ),
    _works("health_bind", "127.0.0.1", "address of the health port; 0.0.0.0 lets a kubelet and an autoscaler ask"),
    _works("owner_key", "", "the owner's Ed25519 public key (PEM): serve only bundles that it signed"),
    _works("max_message_bytes", MAX_MESSAGE_BYTES, "largest gRPC request, also after decompression"),
    _works("max_body_bytes", MAX_BODY_BYTES, "largest REST body, also after decompression"),
    _works("rest_nan", "token", "NaN and infinities in REST answers: token = bare NaN, null, or error = status 500"),
    _works("rpc", "auto", "gRPC front end: fast (libnghttp2), grpcio, or auto = fast where the library is there"),
    _works(
        "processes", 1, "processes that share the ports; each has its own engine threads and limits; plain models only"
    ),
    _works("one_port", False, "gRPC and REST on --port, told apart by ALPN or their first bytes"),
    _works("enable_reflection", False, "offer gRPC reflection (grpcurl): services and messages, nothing of the models"),
    _works("max_connections", 2048, "connections at once; beyond, idle ones make room or new ones are closed"),
    _works("max_held_bytes", MAX_HELD_BYTES, "bodies of all connections at once; beyond, requests are refused"),
    _works("drain_seconds", 30.0, "how long running requests may take to finish when the server stops"),
)
FLAGS: Final = {flag.name: flag for flag in (*TENSORFLOW_SERVING, *STRONGROOM)}


def _boolean(name: str, text: str) -> bool:
    if text.lower() in {"true", "1", "t", "yes", "y"}:
        return True
    if text.lower() in {"false", "0", "f", "no", "n"}:
        return False
    raise BadOptions(f"--{name} is {text[:80]!r}, wanted true or false")

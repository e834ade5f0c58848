"""Flags and options: TensorFlow Serving's names and start errors, ours, and what is refused by name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.serving.flag_table import FLAGS, STRONGROOM, TENSORFLOW_SERVING, Effect
from strongroom.serving.flags import options_of, without_effect
from strongroom.serving.options import BadOptions, FlagNotOffered, HostPort, PlaintextServer, is_loopback
from strongroom.tfserving.json_response import NonFinite

TLS = {"model_base_path": "/models/m", "ssl_config_file": "ssl.cfg"}
EVERYWHERE = "0.0.0.0"  # noqa: S104  # nothing is bound here
BROKER = {"broker": "localhost:4433", "broker_ca": "ca.pem", "owner_key": "owner.pem"}

# Every flag of TensorFlow Serving's table (spec, section 5).
PUBLISHED = set(
    re.findall(
        r"\w+",
        """
        port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms
        rest_api_enable_cors_support model_name model_base_path model_config_file
        model_config_file_poll_wait_seconds file_system_poll_wait_seconds flush_filesystem_caches
        num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros
        allow_version_labels_for_unavailable_models enable_batching batching_parameters_file
        enable_per_model_batching_parameters tensorflow_session_parallelism tensorflow_intra_op_parallelism
        tensorflow_inter_op_parallelism tensorflow_session_config_file ssl_config_file use_alts_credentials
        platform_config_file per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments
        grpc_max_threads enable_model_warmup num_request_iterations_for_warmup monitoring_config_file
        enable_signature_method_name_check enable_profiler enable_grpc_healthcheck_service
        enable_serialization_as_tensor_content prefer_tflite_model num_tflite_pools
        num_tflite_interpreters_per_pool remove_unused_fields_from_bundle_metagraph mixed_precision
        skip_initialize_tpu xla_cpu_compilation_enabled xla_gpu_compilation_enabled
        thread_pool_factory_config_file
        """,
    )
)


def test_every_published_flag_has_an_effect_or_a_reason():
    assert {flag.name for flag in TENSORFLOW_SERVING} == PUBLISHED
    assert all(flag.about for flag in FLAGS.values())


def test_defaults_are_tensorflow_servings_but_for_the_address():
    options = options_of(TLS)
    assert (options.listening.grpc_port, options.listening.rest_port, options.models.name) == (8500, 0, "default")
    assert (options.rest.timeout_s, options.models.poll_wait_s) == (30, 1)
    assert options.limits.max_message_bytes == 2**31 - 1
    assert options.listening.bind == "127.0.0.1"
    assert options.broker is None


OFF = [flag for flag in TENSORFLOW_SERVING if flag.effect is Effect.OFF_ONLY]


@pytest.mark.parametrize("flag", OFF, ids=lambda flag: flag.name)
def test_what_does_not_exist_is_refused_by_name_and_accepted_as_off(flag):
    value = {bool: True, int: 5, str: "x"}[type(flag.default)]
    with pytest.raises((FlagNotOffered, BadOptions)) as caught:
        options_of({**TLS, flag.name: value})
    assert flag.name in caught.value.sentence
    assert options_of({**TLS, flag.name: flag.default})


def test_the_refusal_has_its_code_and_reason():
    with pytest.raises(FlagNotOffered, match="--platform_config_file is not offered: platforms") as caught:
        options_of({**TLS, "platform_config_file": "platforms.config"})
    assert caught.value.code == "SR-FLAG-NOT-OFFERED"


def test_flags_without_effect_say_so():
    (sentence,) = without_effect({"port": 1, "enable_profiler": True})
    assert sentence == "--enable_profiler has no effect: there is no profiler"


START_ERRORS = [
    ({}, "Both server_options.model_base_path and server_options.model_config_file are empty!"),
    ({**TLS, "port": 0}, "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."),
    ({**TLS, "batching_parameters_file": "f"}, ("server_options.batching_parameters_file is set without setting "
     "server_options.enable_batching to true.")),
    ({**TLS, "use_alts_credentials": True}, ("Either use_alts_credentials must be false or ssl_config_file must be "
     "empty.")),
    ({**TLS, **{f"tensorflow_{kind}_parallelism": 1 for kind in ("session", "intra_op", "inter_op")}},
     ("Either configure server_options.tensorflow_session_parallelism or "
     "(server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) separately. "
     "You cannot configure all.")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "text"), START_ERRORS, ids=[text[:40] for _, text in START_ERRORS])
def test_start_errors_are_word_for_word(given, text):
    with pytest.raises(BadOptions) as caught:
        options_of(given)
    assert caught.value.sentence == text
    assert caught.value.code == "SR-SERVER-OPTIONS"


@pytest.mark.parametrize(
    "changes",
    [{"port": 65536}, {"rest_api_port": -1}, {"rest_api_timeout_in_ms": 0}, {"drain_seconds": -1.0},
     {"drain_seconds": float("nan")}, {"max_message_bytes": 10}, {"max_body_bytes": 2**31},
     {"tensorflow_intra_op_parallelism": 5000}, {"grpc_channel_arguments": "novalue"}, {"grpc_channel_arguments": "=1"},
     {"broker": "localhost:1"}, {"broker": "localhost:1", "broker_ca": "c"}, {"owner_key": "o"},
     {**BROKER, "broker": "localhost"}, {**BROKER, "broker": "::1:4433"}, {**BROKER, "broker": "h:99999"},
     {**BROKER, "broker": ":1"}, {"insecure": True}],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(BadOptions):
        options_of({**TLS, **changes})


def test_a_broker_comes_with_its_ca_and_the_owners_key():
    options = options_of({**TLS, **BROKER})
    assert options.broker.address == HostPort("localhost", 4433)
    assert HostPort.parse("[::1]:1", flag="--broker") == HostPort("::1", 1)
    with pytest.raises(BadOptions, match="--broker_ca and --owner_key is missing"):
        options_of({**TLS, "broker": "localhost:4433"})


def test_sv_01_without_tls_nothing_is_served_but_to_this_machine_on_request():
    plain = {"model_base_path": "/models/m"}
    with pytest.raises(PlaintextServer) as caught:
        options_of(plain)
    assert caught.value.code == "SR-SERVE-PLAINTEXT"
    assert "--ssl_config_file" in caught.value.fix
    assert options_of({**plain, "insecure": True}).listening.insecure
    with pytest.raises(PlaintextServer):
        options_of({**plain, "insecure": True, "bind": EVERYWHERE})
    with pytest.raises(PlaintextServer):
        options_of({**plain, **BROKER, "insecure": True})


def test_loopback_is_told_from_the_world():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, (EVERYWHERE, "::", "10.0.0.1", "localhost.example", "")))


def test_values_are_read_by_type():
    assert FLAGS["enable_profiler"].parse("TRUE") is True
    assert FLAGS["enable_profiler"].parse("0") is False
    assert FLAGS["port"].parse("1") == 1
    for flag, text in (("enable_profiler", "maybe"), ("port", "x"), ("port", "1.5"), ("drain_seconds", "")):
        with pytest.raises(BadOptions):
            FLAGS[flag].parse(text)


def test_channel_arguments_are_numbers_or_text():
    options = options_of({**TLS, "grpc_channel_arguments": "grpc.max_connection_age_ms=60000,a=b,"})
    assert options.listening.channel_arguments == (("grpc.max_connection_age_ms", 60000), ("a", "b"))


def test_thread_counts_fall_back_on_the_common_one():
    options = options_of({**TLS, "tensorflow_session_parallelism": 3, "tensorflow_intra_op_parallelism": 1})
    assert (options.runtime.intra_op_threads, options.runtime.inter_op_threads) == (1, 3)


def test_our_flags_do_not_collide_with_tensorflow_servings():
    assert not {flag.name for flag in STRONGROOM} & PUBLISHED


def test_nan_over_rest_is_a_token_null_or_an_error():
    assert options_of(TLS).rest.nan is NonFinite.TOKEN
    assert options_of({**TLS, "rest_nan": "null"}).rest.nan is NonFinite.NULL
    with pytest.raises(BadOptions, match="wanted token, null, error"):
        options_of({**TLS, "rest_nan": "None"})


def test_draining_batches_is_on_until_it_is_turned_off():
    assert options_of(TLS).batching.drain
    assert not options_of({**TLS, "drain_batching": False}).batching.drain


def test_the_page_of_flags_is_current():
    tool = Path(__file__).resolve().parents[3] / "tools" / "write_flag_docs.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True)


def test_times_and_tries_of_loading_are_read():
    models = options_of({**TLS, "load_retry_interval_micros": -1, "max_num_load_retries": 2}).models
    assert (models.load_retry_s, models.max_load_retries) == (-1e-6, 2)
    assert (options_of(TLS).models.load_retry_s, options_of(TLS).models.max_load_retries) == (60, 5)

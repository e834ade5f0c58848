"""config.yaml: published files read, slips named, and nothing about security passed over."""

import pytest

from strongroom.clusterserving.config import (
    BadQueueConfig,
    GraveQueueConfig,
    QueueConfig,
    QueueNotSupported,
)
from strongroom.clusterserving.config_keys import BY_NAME, KEYS, OLDER_NAMES, Kind
from strongroom.clusterserving.config_text import config_text
from strongroom.clusterserving.names import BadJobName

PUBLISHED = b"""\
## Analytics-zoo Cluster Serving
  # model path must be provided
  modelPath: /path/to/model
  # name, default is serving_stream, you need to specify if running multiple servings
  jobName:
  # data parsing
  imageResize: 224,320
  postProcessing: topN(3)
  redisUrl: localhost:6380
  modelParallelism: 4
  recordEncrypted: false
"""


def parse(text):
    return QueueConfig.parse(text if isinstance(text, bytes) else text.encode())


def test_a_published_file_reads_with_its_indent_comments_and_empty_keys():
    config, warnings = parse(PUBLISHED)
    assert warnings == ()
    assert (config.model_path, config.job_name, config.post_processing) == (
        "/path/to/model",
        "serving_stream",
        "topN(3)",
    )
    assert config.image_resize == (224, 320)
    assert (config.redis_host, config.redis_port, config.redis_tls) == ("localhost", 6380, False)
    assert config.model_parallelism == 4


@pytest.mark.parametrize("text", ["", "# all\n# comments\n", "---\n", "\n\n"])
def test_a_file_of_comments_is_all_defaults(text):
    assert parse(text) == (QueueConfig(), ())


def test_keys_are_matched_without_regard_to_case():
    assert parse("MODELPATH: /m\njobname: a\n")[0].job.name == "a"


def test_the_older_nested_form_reads_with_a_notice():
    config, warnings = parse(
        "model:\n  path: /m\ndata:\n  src: redis-host:6399\n  image_shape: 3,224,224\n  filter: topN(1)\n"
        "params:\n  core_number: 4\n"
    )
    assert (config.model_path, config.redis_host, config.redis_port) == ("/m", "redis-host", 6399)
    assert (config.post_processing, config.core_number) == ("topN(1)", 4)
    assert len(warnings) == 2
    assert "imageResize" in warnings[0]
    assert "older nested form" in warnings[1]


def test_an_older_name_is_read_and_named():
    config, warnings = parse("secureEnabled: true\nsecureTrustStorePath: /t\n")
    assert config.redis_tls
    assert config.redis_trust_store == "/t"
    assert any("redisSecureEnabled" in each for each in warnings)


def test_an_unknown_key_is_a_warning_with_the_nearest_one():
    config, warnings = parse("jobNme: a\nsomethingElse: 1\n")
    assert config.job_name == "serving_stream"
    assert "did you mean jobName" in warnings[0]
    assert len(warnings) == 2


def test_strict_makes_unknown_keys_errors():
    with pytest.raises(BadQueueConfig, match="jobName") as caught:
        parse("strict: true\njobNme: a\n")
    assert caught.value.code == "SR-QUEUE-CONFIG"


def slips():
    """Give each security key with a letter missing, doubled, exchanged and in another case with an underscore."""
    for key in KEYS:
        if key.security:
            name = key.name
            middle = len(name) // 2
            for slip in (
                name[:middle] + name[middle + 1 :],
                name[:middle] + name[middle] + name[middle:],
                name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :],
                name[:middle] + "_" + name[middle:],
                name + "s",
            ):
                if slip.lower() not in BY_NAME and slip.lower() not in OLDER_NAMES:
                    yield slip


@pytest.mark.parametrize("slip", sorted(set(slips())))
def test_an_16_a_slip_in_a_security_key_stops_the_start(slip):
    with pytest.raises(GraveQueueConfig) as caught:
        parse(f"{slip}: true\n")
    assert caught.value.code == "SR-QUEUE-CONFIG-SECURITY"


@pytest.mark.parametrize(
    "name",
    ["tls", "ssl_enabled", "kms.id", "password", "enableSSL", "verifyPeer", "insecure", "authToken", "attestation",
     "certificate", "clientSecret", "encryptRecords"],
)  # fmt: skip
def test_an_16_an_unknown_key_that_sounds_like_security_stops_the_start(name):
    with pytest.raises(GraveQueueConfig):
        parse(f'"{name}": x\n')


def test_an_16_security_keys_of_the_nested_form_are_not_lost():
    with pytest.raises(GraveQueueConfig):
        parse("redis:\n  secure: true\n")


@pytest.mark.parametrize("value", ["yes please", "1", "on it", "[true]", "2"])
def test_an_16_a_switch_is_true_or_false(value):
    with pytest.raises(BadQueueConfig, match="true or false"):
        parse(f"redisSecureEnabled: {value}\n")


def test_passwords_do_not_stand_in_the_file():
    for text in ("redisSecureTrustStorePassword: hunter2\n", "redisUrl: rediss://me:hunter2@host:1\n"):
        with pytest.raises(GraveQueueConfig) as caught:
            parse(text)
        assert "hunter2" not in str(caught.value) + caught.value.fix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host:1234", ("host", 1234, False, 0, None)),
        ("host", ("host", 6379, False, 0, None)),
        ("a:b:1234", ("a", 1234, False, 0, None)),  # the original: before the first colon, behind the last
        ("'[::1]:1234'", ("::1", 1234, False, 0, None)),
        ("redis://host", ("host", 6379, False, 0, None)),
        ("rediss://host:1234/3", ("host", 1234, True, 3, None)),
        ("'rediss://[::1]:1234'", ("::1", 1234, True, 0, None)),
        ("unix:///run/redis.sock", ("localhost", 6379, False, 0, "/run/redis.sock")),
    ],
)
def test_redis_url_has_these_forms(text, expected):
    config, _ = parse(f"redisUrl: {text}\n")
    assert (
        config.redis_host,
        config.redis_port,
        config.redis_tls,
        config.redis_database,
        config.redis_unix,
    ) == expected


def test_a_user_may_stand_in_the_url():
    config, _ = parse("redisUrl: rediss://me@host\nredisPasswordFile: /p\n")
    assert (config.redis_user, config.redis_password_file) == ("me", "/p")


@pytest.mark.parametrize(
    "text",
    [
        "redisUrl: redis://host\nredisSecureEnabled: true\n",
        "redisUrl: rediss://host\nredisSecureEnabled: false\n",
        "redisUrl: rediss://me@host\nredisUser: you\nredisPasswordFile: /p\n",
        "redisUser: me\n",
        "redisUrl: rediss://me@host\n",
        "redisCertFile: /c\n",
        "redisKeyFile: /k\n",
        "hookFile: /h\n",
    ],
)
def test_security_that_contradicts_itself_or_is_half_stops(text):
    with pytest.raises(GraveQueueConfig):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "redisUrl: host:notaport", "redisUrl: http://host", "redisUrl: rediss://host:99999", "redisUrl: rediss://host/x",
        "redisUrl: 'rediss://[::1'", "redisUrl: rediss://host?x=1", "redisUrl: host:0",
        "imageResize: 224", "imageResize: 0,224", "imageResize: a,b", "runner: spark", "batchSize: 0",
        "batchSize: many",
        "batchSize: true", "modelParallelism: -1", "healthPort: 70000", "metricsPort: -1", "maxStreamBytes: lots",
        "maxStreamBytes: 4g", "modelPath: [a]", "modelPath: {a: b}", "imagePreprocess: bgr", "imagePreprocess: {1: 2}",
        "- a\n- b", "just text", "a: b: c", "1: x", "x: &a b\ny: *a", "jobName: a\njobName: b",
        "jobName: a\njobname: b",
        "batchSize: " + "1" * 100, "a: [[[[[[[[1]]]]]]]]", "\tmodelPath: x", "resultTtlMs: 0", "maxDeliveries: 0",
        "modelPath: \"a\\0b\"", "? [a, b]\n: c", "x: !!python/object:os.system y",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_an_error(text):
    with pytest.raises(BadQueueConfig):
        parse(text + "\n")


def test_a_file_is_bounded_before_it_is_read():
    with pytest.raises(BadQueueConfig, match="longer"):
        parse(b"#" * (256 * 1024 + 1))
    with pytest.raises(BadQueueConfig, match="deeper or longer"):
        parse("".join(f"k{each}: 1\n" for each in range(3000)))
    with pytest.raises(BadQueueConfig, match="UTF-8"):
        parse(b"modelPath: \xff\n")


def test_kafka_is_refused_by_name():
    with pytest.raises(QueueNotSupported) as caught:
        parse("queueUsed: kafka\nkafkaUrl: localhost:9092\n")
    assert caught.value.code == "SR-QUEUE-NOT-SUPPORTED"
    assert "not supported" in str(caught.value)
    assert parse("queueUsed: redis\nkafkaUrl: localhost:9092\n")[0] == QueueConfig()


def test_a_job_name_that_keys_cannot_hold_is_refused():
    with pytest.raises(BadJobName):
        parse("jobName: a*b\n")


def test_performance_mode_is_taken_and_has_no_effect():
    for value in ("OFF", "false", "latency", "3"):
        assert parse(f"performance_mode: {value}\n") == (QueueConfig(), ("performance_mode has no effect",))


def test_sizes_may_have_units():
    config, _ = parse("maxStreamBytes: 16m\nmaxRecordBytes: 1 MiB\nredisMaxmemory: 8g\n")
    assert (config.max_stream_bytes, config.max_record_bytes) == (16 << 20, 1 << 20)
    assert config.redis_max_memory == 8 << 30


def test_the_queue_leaves_memory_for_results():
    with pytest.raises(BadQueueConfig, match="60 %"):
        parse("redisMaxmemory: 100m\nmaxStreamBytes: 61m\n")
    parse("redisMaxmemory: 100m\nmaxStreamBytes: 60m\n")


def test_what_is_written_reads_as_the_same():
    text = (
        "modelPath: /m\njobName: j\nimageResize: 3,5\nredisUrl: rediss://u@[::1]:7/2\nredisPasswordFile: /p\n"
        "redisCaFile: /ca\nbatchSize: 5\nmodelEncrypted: true\nimagePreprocess: {order: rgb, mean: [1, 2, 3]}\n"
    )
    config, _ = parse(text)
    again, warnings = parse(config_text(config))
    assert (again, warnings) == (config, ())


def test_every_key_fills_a_field_of_its_own():
    assert len({key.field for key in KEYS}) == len(KEYS)
    assert len(BY_NAME) == len(KEYS)
    assert all(
        key.kind is not Kind.SWITCH or isinstance(getattr(QueueConfig(), key.field, False), bool) for key in KEYS
    )


def test_the_page_for_users_names_every_key(request):
    page = (request.config.rootpath / "docs" / "queue.md").read_text(encoding="utf-8")
    assert [key.name for key in KEYS if f"`{key.name}`" not in page and key.name not in {"strict"}] == []

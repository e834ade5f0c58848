"""The server's command line: both forms of a flag, switches, groups of the help, start errors."""

import argparse

import pytest

from strongroom.cli import main, model_server, serve
from strongroom.cli.frame import Parser
from strongroom.serving.flags import with_environment
from strongroom.serving.options import BadOptions


def given(*words):
    parser = Parser(prog="strongroom serve")
    serve.arguments(parser)
    return serve.given_flags(parser.parse_args(words))


def test_both_forms_of_a_flag_are_read():
    assert given("--port=1", "--rest_api_port", "2", "--model_name=m") == {
        "port": 1, "rest_api_port": 2, "model_name": "m"
    }  # fmt: skip
    assert given("--file_system_poll_wait_seconds", "-1", "--grpc_channel_arguments=a=b,c=1") == {
        "file_system_poll_wait_seconds": -1, "grpc_channel_arguments": "a=b,c=1"
    }  # fmt: skip
    assert given() == {}


@pytest.mark.parametrize(
    ("words", "value"),
    [(["--insecure"], True), (["--insecure=true"], True), (["--insecure=1"], True), (["--insecure", "false"], False),
     (["--insecure=0"], False), (["--insecure=False"], False)],
)  # fmt: skip
def test_switches_have_many_forms(words, value):
    assert given(*words) == {"insecure": value}
    assert given(*words, "--port=1") == {"insecure": value, "port": 1}


def test_values_of_another_type_are_one_error():
    with pytest.raises(BadOptions, match="--port is 'x'"):
        given("--port=x")


def test_the_help_says_what_works_and_what_does_not(capsys):
    assert main(["serve", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in ("TensorFlow Serving's flags", "Strongroom's flags", "not offered: platforms are not configured",
                  "no effect: there is no profiler", "gRPC port; 0 = none", "(default 8500)"):  # fmt: skip
        assert words in out


def test_a_bad_start_has_our_form_and_status_under_our_name(capsys, tmp_path):
    assert main(["serve", f"--model_base_path={tmp_path}", "--platform_config_file=x"]) == 2
    assert "SR-FLAG-NOT-OFFERED" in capsys.readouterr().err
    assert main(["serve", f"--model_base_path={tmp_path}"]) == 3
    assert "SR-SERVE-PLAINTEXT" in capsys.readouterr().err
    assert main(["serve"]) == 2
    assert "SR-SERVER-OPTIONS" in capsys.readouterr().err


def test_a_bad_start_has_tensorflow_servings_form_under_its_name(capsys, tmp_path):
    assert model_server.main([]) == 255
    assert capsys.readouterr().out == (
        "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!\n"
    )
    assert model_server.main([f"--model_base_path={tmp_path}"]) == 255
    assert "nothing is served without TLS" in capsys.readouterr().out


def test_the_environment_of_tensorflow_servings_images_stands_for_flags():
    assert with_environment({}, {}) == {}
    assert with_environment({}, {"MODEL_NAME": "m"}) == {
        "port": 8500, "rest_api_port": 8501, "model_name": "m", "model_base_path": "/models/m"
    }  # fmt: skip
    found = with_environment({"port": 1, "model_name": "n"}, {"MODEL_BASE_PATH": "/srv"})
    assert (found["port"], found["model_name"], found["model_base_path"]) == (1, "n", "/srv/n")
    assert "model_base_path" not in with_environment({"model_config_file": "f"}, {"MODEL_NAME": "m"})


def test_a_bad_configuration_is_told_in_two_lines(capsys, tmp_path):
    (tmp_path / "models.config").write_text("improperly formatted file")
    words = [f"--model_config_file={tmp_path / 'models.config'}", "--insecure"]
    assert model_server.main(words) == 255
    out, err = capsys.readouterr()
    assert out.startswith("Failed to start server. Error: INVALID_ARGUMENT: Error parsing text-format")
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in err
    assert f"Invalid protobuf file: '{tmp_path / 'models.config'}'" in err


def test_an_unknown_argument_is_printed_with_the_usage(capsys):
    assert model_server.main(["--nonsense=1"]) == 255
    out, err = capsys.readouterr()
    assert out.startswith("unknown argument: --nonsense=1\nusage: strongroom-model-server")
    assert "SR-MISUSE" in err
    assert "Did you mean" not in err
    assert model_server.main(["--model_nme=x"]) == 255
    assert "Did you mean --model_name?" in capsys.readouterr().err


def test_a_bad_value_and_a_missing_file_are_bad_starts(capsys, tmp_path):
    assert model_server.main(["--port=many", f"--model_base_path={tmp_path}"]) == 255
    assert capsys.readouterr().out.startswith("Failed to start server. Error: INVALID_ARGUMENT: --port is 'many'")
    assert model_server.main([f"--model_config_file={tmp_path / 'no.config'}", "--insecure"]) == 255
    out, err = capsys.readouterr()
    assert "no.config: no such file or directory" in out
    assert "SR-FILE" in err


def test_version_is_asked_for_anywhere(capsys):
    assert model_server.main(["--port=1", "--version"]) == 0
    assert capsys.readouterr().out.startswith("Strongroom ModelServer: ")


def test_a_file_that_is_not_there_is_named(capsys, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    words = [f"--model_base_path={tmp_path / 'm'}", f"--ssl_config_file={tmp_path / 'no.cfg'}"]
    assert main(["serve", *words]) == 2
    err = capsys.readouterr().err
    assert "no.cfg" in err
    assert "SR-FILE" in err


def test_no_flag_carries_a_secret():
    parser = argparse.ArgumentParser()
    serve.arguments(parser)
    names = [action.option_strings[-1] for action in parser._actions]
    assert not [name for name in names if any(word in name for word in ("password", "passphrase", "secret", "token"))]
    about_keys = {"--owner_key", "--wait_for_key", "--key_lease_seconds"}  # a public one, a switch, a duration
    assert {name for name in names if "key" in name} == about_keys

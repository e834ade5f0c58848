"""The programs of a deployment, each as what its enclave will hold: words, variables, files, sizes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from strongroom.deploy.description import DeployMalformed, Description, Engine
from strongroom.deploy.gramine import places
from strongroom.deploy.gramine.jvm import jvm_programs
from strongroom.deploy.gramine.parts import arch_libraries, enclave, python_files
from strongroom.deploy.gramine.places import PYTHON, PythonPlaces
from strongroom.deploy.gramine.queue import queue_programs
from strongroom.deploy.gramine.server_words import (
    app_files,
    provisioning_server,
    server_environment,
    server_words,
    tensorflow_words,
)
from strongroom.gramine.manifests import Encrypted, Program, Provisioning

PYTHON_WORDS: Final = ("-I", "-B", "-u", "-m", "strongroom")  # compiled files are read: they are trusted ones as well
_ENVIRONMENT: Final = {"HOME": "/nonexistent", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108  # the enclave's memory
_TENSORFLOW_ENVIRONMENT: Final = {"KMP_BLOCKTIME": "0", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
_TENSORFLOW_THREADS: Final = 400  # as the reference solution has it; TensorFlow starts hundreds


def programs(
    description: Description,
    python: PythonPlaces = PYTHON,
    *,
    ssl_version: int = 1,
    isvprodid: int = 1,
    isvsvn: int = 1,
) -> tuple[Program, ...]:
    """Return every program that may run in an enclave of this deployment, by role and in a stable order.

    `ssl_version`: the model version whose key seals the ssl.cfg of tensorflow_model_server. `isvprodid`, `isvsvn`: the
    numbers by which policies know product and release. Raises DeployMalformed.
    """
    served = replica(description, python)
    if description.engine is Engine.TENSORFLOW_SERVING:
        served = tensorflow_model_server(description, ssl_version=ssl_version)
    servers = (served, broker(description, python), streaming_worker(description, python))
    found = (*servers, *queue_programs(description, python), *jvm_programs(description, python))
    return tuple(replace(each, enclave=replace(each.enclave, isvprodid=isvprodid, isvsvn=isvsvn)) for each in found)


def replica(description: Description, python: PythonPlaces = PYTHON) -> Program:
    """Return `strongroom serve`: its sealed models are trusted files, opened with keys that it asks the broker for."""
    public = [places.CA, places.OWNER, *(f"{places.APP}/{name}" for name in app_files(description))]
    return _python_server(
        description, python, "model-server", "Model server",
        words=["serve", *server_words(description)],
        trusted=[*public, f"{places.MODELS}/"],
        env=server_environment(),
    )  # fmt: skip


def broker(description: Description, python: PythonPlaces = PYTHON) -> Program:
    """Return `strongroom broker serve` over a workspace in the enclave's memory, which somebody has to hand over."""
    return _python_server(
        description, python, "broker", "Key broker",
        words=["broker", "serve", "--workspace=/work/workspace", "--address=0.0.0.0",
               f"--port={places.PROVISIONING_PORT}", f"--kbs-port={places.KBS_PORT}", "--admin-address=0.0.0.0",
               f"--admin-port={places.ADMIN_PORT}", "--log-format=json"],
        trusted=[places.CA, places.OWNER], env={}, temporary=("/tmp", "/work"),  # noqa: S108  # the enclave's memory
    )  # fmt: skip


def streaming_worker(description: Description, python: PythonPlaces = PYTHON) -> Program:
    """Return the streaming worker: its configuration, sealed model and sealed credentials are trusted files."""
    return _python_server(
        description, python, "streaming-worker", "Streaming worker",
        words=["queue", "serve", "-c", places.WORKER_CONFIG],
        trusted=[places.CA, places.OWNER, places.WORKER_CONFIG, f"{places.CREDENTIALS}/", f"{places.MODELS}/"], env={},
    )  # fmt: skip


def ssl_link(description: Description, ssl_version: int = 1) -> str:
    """Return where ssl.cfg has to be found besides /models: the path that `model publish` binds it to.

    An image of tensorflow_model_server has a symbolic link there, to /models/ssl.cfg.
    """
    name = description.models[0].name if description.models else "model"
    return f"/ssl/{name}/{ssl_version}/ssl.cfg"


def tensorflow_model_server(description: Description, *, ssl_version: int = 1) -> Program:
    """Return TensorFlow Serving's own server: Gramine opens its model and ssl.cfg with the one key it is given."""
    if len(description.models) > 1:
        raise DeployMalformed(
            "tensorflow_model_server gets one key, and each model has its own: name one [[deploy.model]] only"
        )
    name = description.models[0].name if description.models else "model"
    sealed = [
        Encrypted(path=f"{places.MODELS}/{name}", host=f"models/{name}"),
        Encrypted(path=places.SSL_CONFIG, host=ssl_link(description, ssl_version).lstrip("/"), is_folder=False),
    ]
    return Program(
        name="tensorflow_model_server",
        title="TensorFlow Serving",
        argv=(places.TENSORFLOW_SERVER, *tensorflow_words(description)),
        env={**_ENVIRONMENT, **_TENSORFLOW_ENVIRONMENT},
        trusted=(places.TENSORFLOW_SERVER, places.CA),
        arch_libraries=arch_libraries(description),
        encrypted=tuple(sealed),
        provisioning=Provisioning(servers=provisioning_server(description), ca_path=places.CA),
        enclave=enclave(description, least_threads=_TENSORFLOW_THREADS),
    )


def _python_server(
    description: Description, python: PythonPlaces, name: str, title: str, *, words: Sequence[str],
    trusted: Sequence[str], env: Mapping[str, str], temporary: tuple[str, ...] = ("/tmp",),  # noqa: S108  # as above
) -> Program:  # fmt: skip
    return Program(
        name=name,
        title=title,
        argv=(python.interpreter, *PYTHON_WORDS, *words),
        env={**_ENVIRONMENT, **env},
        trusted=(*trusted, *python_files(python)),
        arch_libraries=arch_libraries(description),
        temporary=temporary,
        enclave=enclave(description),
    )

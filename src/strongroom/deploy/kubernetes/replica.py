"""What the container of one replica starts, and where it finds things. Pure.

`/app` is the program's manifest with the owner's public files, read-only, from the image (strongroom.deploy.gramine
says what stands there); `/models` holds the sealed versions, copied from the models image when the pod starts.
Writable are `/tmp` and, with the simulated platform, `/work`: memory of the pod.

The words of a replica are part of its measurement, so its manifest says them and the pod says none: a pod that said
others would run another program, which the broker refuses. A trust domain has no manifest; there the pod says them.
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description, Engine, Tee
from strongroom.deploy.gramine.places import APP, MODELS, PYTHON, REPLICA
from strongroom.deploy.gramine.server_words import DRAIN_S, server_words

STRONGROOM: Final = (PYTHON.interpreter, "-I", "-m", "strongroom")
SERVER: Final = f"{APP}/model-server"  # + .manifest.sgx and .sig, as gramine-sgx wants them
TENSORFLOW: Final = f"{APP}/tensorflow_model_server"
MODELS_TO_FILL: Final = "/srv/models"  # where the models image's init container sees the volume that becomes /models
WORK: Final = "/work"
WORLD: Final = f"{WORK}/world"  # the simulated platform's folder: a copy that this container's user alone can enter
WORLD_SECRET: Final = "/simulated-world"  # noqa: S105  # where the Secret NAME-simulated-world is mounted
CA_NAME: Final = "ca_cert.pem"
OWNER_NAME: Final = "owner_public.pem"
LEAVE_S: Final = 5  # between "terminating" and SIGTERM: until endpoints and fronts have noticed
GRACE_S: Final = LEAVE_S + DRAIN_S + 10
# Not -a: nobody but root may set the owner and the times of the volume's own folder. -f: it may run a second time.
FILL_MODELS: Final = ("cp", "-Rf", f"{MODELS}/.", f"{MODELS_TO_FILL}/")
# The files of a Secret belong to root; a world's have to belong to whoever uses it, and to nobody else.
COPY_WORLD: Final = (
    "sh",
    "-c",
    f"install -d -m 0700 {WORLD} && install -m 0600 {WORLD_SECRET}/* {WORLD}/",
)


def command(description: Description) -> tuple[str, ...]:
    """Return what a replica's container starts, in full: no pod depends on the ENTRYPOINT of an image."""
    match description.tee:
        case Tee.SIMULATED:
            return (*STRONGROOM, "sim", "run", "--world", WORLD, REPLICA)
        case Tee.SGX:
            return ("gramine-sgx", TENSORFLOW if description.engine is Engine.TENSORFLOW_SERVING else SERVER)
        case Tee.TDX:
            return (*STRONGROOM, "serve", *server_words(description))

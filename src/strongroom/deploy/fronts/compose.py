"""A Compose file of the same parts on one machine: broker, simulated platform, replicas, nginx. Pure.

What Kubernetes does with pods, Compose does with containers: nothing is writable but memory, no rights, one user.
Source: the Compose Specification; threats DP-01, DP-02.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.deploy.clouds import USUAL_DEVICES
from strongroom.deploy.description import Description, Engine, Role, Tee
from strongroom.deploy.fronts.nginx import nginx_passthrough
from strongroom.deploy.fronts.upstreams import GRPC_PORT, REST_PORT, Listening, Resolved
from strongroom.deploy.gramine import places
from strongroom.deploy.kubernetes import broker, naming, replica
from strongroom.deploy.yaml_text import to_yaml

Service = dict[str, Any]
DOCKER_DNS: Final = "127.0.0.11"  # Compose's own name server: a service's name answers with all its containers
WORKSPACE: Final = "${STRONGROOM_WORKSPACE:?the folder that strongroom init made}"
USER: Final = f"${{STRONGROOM_USER:-{naming.USER_ID}:{naming.USER_ID}}}"
_ALL: Final = "0.0.0.0"  # noqa: S104  # in a container: its network decides who comes
_BROKER_WORDS: Final = (
    "serve", f"--workspace={broker.WORKSPACE}", f"--address={_ALL}", f"--kbs-port={naming.KBS_PORT}",
    f"--admin-address={_ALL}", f"--admin-port={naming.ADMIN_PORT}", "--log-format=json",
)  # fmt: skip
_TMPFS: Final = "mode=1777,noexec,nosuid,nodev"
_COMMENT: Final = """\
Strongroom on one machine. Strongroom renders this file: change strongroom.toml instead.

  export STRONGROOM_WORKSPACE=FOLDER            what `strongroom init` made; the broker sees all of it
  export STRONGROOM_USER=$(id -u):$(id -g)      whoever may read it (default: 10001:10001)
  docker compose -f compose.yaml up --wait
  docker compose -f compose.yaml up --wait --scale model-server=4

Ports are open on this machine alone. Clients ask nginx on port 8500 for the server name {host}."""


def compose_files(description: Description, devices: Sequence[str] = USUAL_DEVICES) -> dict[str, bytes]:
    """Return compose.yaml and the nginx.conf that it mounts, by file name."""
    return {
        "compose.yaml": compose(description, devices).encode(),
        "nginx.conf": nginx_passthrough(description, upstream(description), _listening(description)).encode(),
    }


def upstream(_description: Description) -> Resolved:
    """Return the replicas as nginx finds them in Compose's network."""
    return Resolved(name=naming.MODEL_SERVER, resolver=DOCKER_DNS)


def compose(description: Description, devices: Sequence[str] = USUAL_DEVICES) -> str:
    """Return compose.yaml: the broker only where it is not outside and its TEE is a simulated one."""
    services: dict[str, Service] = {}
    if has_broker(description):
        services[naming.BROKER] = _broker(description)
    services[naming.MODEL_SERVER] = _model_server(description, devices)
    services[naming.FRONT] = _front(description)
    project = {
        "name": description.name,
        "services": services,
        "networks": {"replicas": {"internal": has_broker(description)}, "clients": {}},
    }
    return to_yaml([project], comment=_COMMENT.format(host=description.host))


def has_broker(description: Description) -> bool:
    """Whether the broker runs here: the key owner's machine and the operator's are one only in a simulation."""
    return description.broker is None and description.tee is Tee.SIMULATED


def _confined(image: str, command: tuple[str, ...], **more: object) -> Service:
    """Return a service without rights that can write to its memory alone."""
    return {
        "image": image,
        "entrypoint": list(command),
        "user": USER,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": [f"/tmp:size=64m,{_TMPFS}"],  # noqa: S108  # memory of this container
        "init": True,
        "restart": "unless-stopped",
        "pids_limit": 512,
        **more,
    }


def _broker(description: Description) -> Service:
    names = naming.broker_service_names(description.name, description.namespace)
    return _confined(
        description.image(Role.BROKER),
        (*replica.STRONGROOM, "broker", *_BROKER_WORDS),
        volumes=[_bind(WORKSPACE, broker.WORKSPACE, writable=True)],
        networks={"replicas": {"aliases": list(names)}, "clients": {}},
        ports=[_loopback(naming.ADMIN_PORT)],
        healthcheck=_healthcheck(_tcp(naming.KBS_PORT)),
        mem_limit="512m",
    )


def _model_server(description: Description, devices: Sequence[str]) -> Service:
    volumes = [_bind(f"{WORKSPACE}/{model.path}", f"{places.MODELS}/{model.name}") for model in description.models]
    if volumes:  # the sealed ssl.cfg lies beside them, as it does in the image of the models
        beside = description.models[0].path.rpartition("/")[0]
        volumes.append(_bind(f"{WORKSPACE}/{beside}/ssl.cfg".replace("//", "/"), places.SSL_CONFIG))
    volumes = volumes or [_bind(f"{WORKSPACE}/models", places.MODELS)]
    more: Service = {"deploy": {"mode": "replicated", "replicas": description.replicas}}
    command = replica.command(description)
    match description.tee:
        case Tee.SIMULATED:
            volumes.append(_bind(f"{WORKSPACE}/world", replica.WORLD_SECRET))
            copy = replica.COPY_WORLD[-1]
            command = ("sh", "-c", f'{copy} && exec "$$@"', "sh", *command)
            more["tmpfs"] = [
                f"/tmp:size=256m,{_TMPFS}",  # noqa: S108  # as above
                f"{replica.WORK}:size=16m,{_TMPFS}",
            ]
        case Tee.SGX:
            more["devices"] = [f"{each}:{each}" for each in devices]
            volumes.append(_bind("/var/run/aesmd", "/var/run/aesmd"))
        case Tee.TDX:  # this machine is the trust domain
            volumes.append(_bind("/sys/kernel/config", "/sys/kernel/config", writable=True))
    if has_broker(description):
        more["depends_on"] = {naming.BROKER: {"condition": "service_healthy"}}
    return _confined(
        description.image(Role.MODEL_SERVER),
        command,
        volumes=volumes,
        networks=["replicas"],
        healthcheck=_healthcheck(_http(places.HEALTH_PORT) if has_rest(description) else _connects(), start_s=300),
        stop_grace_period=f"{replica.GRACE_S}s",
        cpus=_cores(description),
        **more,
    )


def _front(description: Description) -> Service:
    ports = [GRPC_PORT, REST_PORT] if has_rest(description) else [GRPC_PORT]
    return _confined(
        description.image(Role.FRONT),
        ("nginx", "-e", "stderr", "-c", "/etc/strongroom/nginx.conf"),
        volumes=[_bind("./nginx.conf", "/etc/strongroom/nginx.conf")],
        networks=["replicas", "clients"],
        ports=[_loopback(each) for each in ports],
        depends_on={naming.MODEL_SERVER: {"condition": "service_healthy"}},
        healthcheck=_healthcheck(_connects()),
        stop_signal="SIGQUIT",  # connections may end by themselves
        stop_grace_period="40s",
        mem_limit="128m",
    )


def has_rest(description: Description) -> bool:
    """Whether replicas answer REST and probes: TensorFlow Serving's REST is clear text, so it is off."""
    return description.engine is Engine.STRONGROOM


def _listening(description: Description) -> Listening:
    return Listening() if has_rest(description) else Listening(rest=None)


def _bind(source: str, target: str, *, writable: bool = False) -> Mapping[str, object]:
    """Return a folder of this machine; one that is not there is an error, not a new folder of root's."""
    found: Service = {"type": "bind", "source": source, "target": target}
    if not writable:
        found["read_only"] = True
    return {**found, "bind": {"create_host_path": False}}


def _loopback(port: int) -> str:
    return f"127.0.0.1:{port}:{port}"


def _healthcheck(test: list[str], *, start_s: int = 60) -> Mapping[str, object]:
    return {"test": test, "interval": "5s", "timeout": "3s", "retries": 3, "start_period": f"{start_s}s"}


def _http(port: int) -> list[str]:
    ask = f"from urllib.request import urlopen; urlopen('http://127.0.0.1:{port}/readyz', timeout=2)"
    return ["CMD", places.PYTHON.interpreter, "-I", "-c", ask]


def _tcp(port: int) -> list[str]:
    ask = f"from socket import create_connection; create_connection(('127.0.0.1', {port}), 2).close()"
    return ["CMD", places.PYTHON.interpreter, "-I", "-c", ask]


def _connects() -> list[str]:
    """Return what asks for gRPC's port in images that hold no program of ours."""
    return ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{GRPC_PORT}"]


def _cores(description: Description) -> str:
    """Return how many processors one replica may use, as Compose writes it; at least one."""
    wanted = description.resources.cpu
    cores = int(wanted[:-1]) / 1000 if wanted.endswith("m") else float(wanted)
    return f"{max(1.0, cores):g}"

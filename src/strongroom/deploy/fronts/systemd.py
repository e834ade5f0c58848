"""systemd units of the same parts on machines without containers: broker, replicas, front. Pure.

The units take away what a program does not need (systemd.exec(5)); what stands at /app and /models in an image is
shown at the same paths to the replica alone, since its words are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.deploy.clouds import USUAL_DEVICES
from strongroom.deploy.description import Description, Engine, Tee
from strongroom.deploy.gramine import places, ssl_link
from strongroom.deploy.kubernetes import broker, replica

ETC: Final = "/etc/strongroom"  # app/: manifests and public files; nginx.conf, haproxy.cfg
STATE: Final = "/var/lib"
FRONT_FOLDER: Final = "/run/strongroom-front"  # the front's RuntimeDirectory: what it may write
FRONT_PORTS: Final = ("9500", "9501")  # the replicas of the same machine have 8500 and 8501
NGINX: Final = "/usr/sbin/nginx"
GRAMINE: Final = "/usr/bin/gramine-sgx"
_CONFINED: Final = """\
DynamicUser=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectProc=invisible
ProcSubset=pid
PrivateTmp=yes
PrivateUsers=yes
LockPersonality=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
LimitCORE=0
"""
_NO_DEVICES: Final = "PrivateDevices=yes\nProtectKernelTunables=yes\n"


def systemd_units(description: Description, devices: Sequence[str] = USUAL_DEVICES) -> dict[str, bytes]:
    """Return the units by file name: a broker for the owner's machine, replicas as a template, a front."""
    units = {
        "strongroom-broker.service": _broker(),
        "strongroom-front.service": _front(),
        "strongroom-replica@.service": _replica(description, devices),
    }
    return {name: text.encode() for name, text in units.items()}


def _unit(title: str, *, after: str = "") -> str:
    return f"""\
# Strongroom renders this file: change strongroom.toml instead.
[Unit]
Description={title}
Wants=network-online.target
After=network-online.target{after}
StartLimitIntervalSec=0

[Service]
Type=exec
Restart=always
RestartSec=2
"""


_INSTALL: Final = "\n[Install]\nWantedBy=multi-user.target\n"


def _broker() -> str:
    """Return the broker's unit: for the key owner's machine, its workspace in the state folder."""
    # Peers of the whole network come to the two ports that prove themselves; administration stays on loopback.
    words = f"serve --workspace {broker.WORKSPACE} --address 0.0.0.0 --kbs-port {places.KBS_PORT} --admin-port 8443"
    return f"""\
{_unit("Strongroom: key broker")}ExecStart={" ".join(replica.STRONGROOM)} broker {words}
StateDirectory=strongroom-broker
StateDirectoryMode=0700
BindPaths={STATE}/strongroom-broker:{replica.WORK}
TimeoutStopSec=30
{_CONFINED}{_NO_DEVICES}{_INSTALL}"""


def _replica(description: Description, devices: Sequence[str]) -> str:
    """Return the template of a replica: strongroom-replica@1, @2, … share their ports, and the kernel spreads."""
    program, *words = replica.command(description)
    start = " ".join([GRAMINE if program == "gramine-sgx" else program, *words])
    match description.tee:
        case Tee.SIMULATED:
            own = f"StateDirectory=strongroom-replica\nBindPaths={STATE}/strongroom-replica/world:{replica.WORLD}\n"
            own += _NO_DEVICES
        case Tee.SGX:
            own = "".join(f"DeviceAllow={each} rw\n" for each in devices) + "DevicePolicy=closed\n"
            own += "SupplementaryGroups=sgx_prv\nProtectKernelTunables=yes\n"
        case Tee.TDX:  # quotes are asked for below /sys/kernel/config, which only root may write
            own = "ReadWritePaths=/sys/kernel/config\nPrivateDevices=yes\n"
    if description.engine is Engine.TENSORFLOW_SERVING:  # Gramine opens a sealed file where it was sealed for
        own += f"BindReadOnlyPaths={STATE}/strongroom-models/ssl.cfg:{ssl_link(description)}\n"
    confined = _CONFINED
    if description.tee is not Tee.SIMULATED:  # users of devices are users of the machine
        confined = confined.replace("PrivateUsers=yes\n", "")
    if description.tee is Tee.TDX:
        confined = confined.replace("DynamicUser=yes\n", "")
    return f"""\
{_unit("Strongroom: model server %i", after=" strongroom-broker.service")}ExecStart={start}
BindReadOnlyPaths={ETC}/app:{places.APP} {STATE}/strongroom-models:{places.MODELS}
TimeoutStopSec={replica.GRACE_S}
LimitNOFILE=65536
{confined}{own}{_INSTALL}"""


def _front() -> str:
    return f"""\
{_unit("Strongroom: nginx in front of the replicas", after=" strongroom-replica@1.service")}\
ExecStartPre={NGINX} -t -q -e stderr -c {ETC}/nginx.conf
ExecStart={NGINX} -e stderr -c {ETC}/nginx.conf
ExecReload={NGINX} -s reload -e stderr -c {ETC}/nginx.conf
KillSignal=SIGQUIT
TimeoutStopSec=40
RuntimeDirectory=strongroom-front
LimitNOFILE=65536
MemoryDenyWriteExecute=yes
{_CONFINED}{_NO_DEVICES}{_INSTALL}"""

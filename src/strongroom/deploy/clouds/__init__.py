"""Clouds: what differs between the places where machines are rented, as data. One TOML file for each profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a cloud adds to a deployment. Empty values mean that nothing is special there."""

    name: str
    title: str
    instance_types: tuple[str, ...] = ()
    pccs_url: str | None = None  # where collateral comes from; None: Intel's service or the owner's own
    attestation_provider: str | None = None  # a MAA endpoint
    sgx_resources: Mapping[str, str] = field(
        default_factory=lambda: {"sgx.intel.com/enclave": "1", "sgx.intel.com/provision": "1"}
    )  # what the device plugin is asked for beside sgx.intel.com/epc
    aesmd_socket: str | None = None  # a hostPath folder, only where quotes come from the node's aesmd
    tdx_runtime_class: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()
    ports: tuple[int, ...] = (4433, 8500, 8501)  # to open
    verified: str = "nothing of this was run there"
    notes: tuple[str, ...] = ()


GENERIC = Profile(name="generic", title="any Kubernetes", verified="run on a one-node cluster with simulated TEEs")

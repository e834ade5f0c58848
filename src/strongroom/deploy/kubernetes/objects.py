"""Which objects a deployment has, in the order in which they are applied, and in which file each stands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.adapter import metrics_adapter
from strongroom.deploy.kubernetes.broker import broker
from strongroom.deploy.kubernetes.front import front
from strongroom.deploy.kubernetes.model_server import model_server
from strongroom.deploy.kubernetes.naming import Object
from strongroom.deploy.kubernetes.network import network_policies
from strongroom.deploy.kubernetes.scaling import autoscaler, disruption_budgets
from strongroom.deploy.kubernetes.space import namespace, service_accounts, trust


@dataclass(frozen=True, slots=True)
class Group:
    """The objects of one file, and one sentence that says what they are for."""

    name: str
    about: str
    objects: tuple[Object, ...]


def objects(
    description: Description, profile: Profile, public_files: Mapping[str, str] | None = None
) -> tuple[Object, ...]:
    """Return all objects; `public_files`: the owner's, by name (ca_cert.pem, owner_public.pem)."""
    return tuple(each for group in groups(description, profile, public_files) for each in group.objects)


def groups(
    description: Description, profile: Profile, public_files: Mapping[str, str] | None = None
) -> tuple[Group, ...]:
    """Return the objects by file; groups without objects are left out."""
    found = (
        Group("namespace", "Where everything lives, and how much its pods may.", (namespace(description, profile),)),
        Group(
            "service-accounts", "Names for the pods; no account has a token of itself.", service_accounts(description)
        ),
        Group("network-policies", "Who may connect to whom: nobody else.", network_policies(description)),
        Group(
            "trust",
            "By what clients in the cluster know replicas, broker and bundles: public, all of it.",
            trust(description, public_files or {}),
        ),
        Group(
            "broker",
            "Who releases keys to attested replicas." if description.broker is None else "The owner's broker, outside.",
            broker(description, profile),
        ),
        Group("model-server", "The replicas: each proves itself to get its key.", model_server(description, profile)),
        Group("front", "What takes the clients' connections; TLS passes through.", front(description)),
        Group(
            "scaling",
            "How few replicas there may be for a moment, and how many at most.",
            (*disruption_budgets(description), *autoscaler(description)),
        ),
        Group("metrics-adapter", "What tells the autoscaler how busy the replicas are.", metrics_adapter(description)),
    )
    return tuple(group for group in found if group.objects)

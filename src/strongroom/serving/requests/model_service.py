"""What clients ask about models, and how they exchange them: metadata, status, HandleReloadConfigRequest.

Messages in, messages out. Source: spec `model-server.md` section 3.
"""

from __future__ import annotations

from typing import Protocol

from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.dataplane import METADATA_FIELD, Dataplane, missing_spec, query_of
from strongroom.serving.status import BadRequest, NotOffered
from strongroom.tfserving import messages
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.signatures import signatures_to_any
from strongroom.tfserving.status import status_response


class Reloader(Protocol):
    """Whoever holds the list of models."""

    async def reload(self, config: ProtoMessage) -> None:
        """Serve the models of a ModelServerConfig and no others; return when each has a version that can answer.

        Raises StrongroomError, and has changed nothing then unless a model failed to load.
        """


def metadata_response(dataplane: Dataplane, asked: ProtoMessage) -> ProtoMessage:
    """Return the signatures of a model. Raises BadRequest or NotServed."""
    if not asked.HasField("model_spec"):
        raise missing_spec()
    dataplane.check_metadata_fields(asked.metadata_field)
    served = dataplane.choose(query_of(asked.model_spec))
    response = messages.GetModelMetadataResponse()
    response.model_spec.name = served.name
    response.model_spec.version.value = served.version
    response.metadata[METADATA_FIELD].CopyFrom(signatures_to_any(served.signatures))
    return response


def versions_response(dataplane: Dataplane, asked: ProtoMessage) -> ProtoMessage:
    """Return the states of a model's versions. Raises BadRequest or NotServed."""
    if not asked.HasField("model_spec"):
        raise missing_spec()
    return status_response(dataplane.statuses(query_of(asked.model_spec)))


async def reload_response(reloader: Reloader | None, metrics: Metrics, asked: ProtoMessage) -> ProtoMessage:
    """Exchange the models, and say by how much the named metrics grew meanwhile. Raises what `reload` raises."""
    if asked.config.WhichOneof("config") != "model_config_list":
        raise BadRequest(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    if reloader is None:
        raise NotOffered("this server's models are not exchanged by request")
    before = [metrics.value(name) for name in asked.metric_names]
    await reloader.reload(asked.config)
    response = messages.ReloadConfigResponse()
    response.status.SetInParent()
    for name, value in zip(asked.metric_names, before, strict=True):
        response.metric.add(name=name, int64_value_increase=metrics.value(name) - value)
    return response

"""What an operator asks over REST: alive, ready, metrics, which models. Fronts and models are not its business.

Probes and metrics answer under the listener's own TLS rule; names of models are listed only for clients that showed a
certificate, or in clear text on this machine (decision 10). Source: spec `model-server.md` sections 9 and 11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom.serving.fronts.health_port import health_answer
from strongroom.serving.fronts.rest_front import Answer
from strongroom.serving.operations.metrics_text import CONTENT_TYPE
from strongroom.serving.operations.readiness import Readiness
from strongroom.tfserving.status import VersionStatus

LIST: Final = "/v1/models"
OUR_LIST: Final = "/strongroom/v1/models"
_METRICS_HANDLER: Final = re.compile(r"/monitoring/.*", re.ASCII)


class Models(Protocol):
    """The models of this server, as far as a list needs them."""

    def names(self) -> tuple[str, ...]:
        """Return their names."""

    def statuses(self, name: str) -> tuple[VersionStatus, ...]:
        """Return the versions of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Answers for operators. `metrics_path` is None where metrics are off."""

    readiness: Readiness
    models: Models
    metrics_text: Callable[[], str]
    metrics_path: str | None = None
    clients_authenticated: bool = False
    clear_text: bool = False

    def answer(self, method: str, path: str) -> Answer | None:
        """Return the answer, or None where the path is not an operator's."""
        if method not in {"GET", "HEAD"}:
            return None
        if probe := health_answer(method, path, self.readiness):
            return probe
        if self.metrics_path is not None:
            if path == self.metrics_path:
                return Answer(200, self.metrics_text().encode(), CONTENT_TYPE)
            if _METRICS_HANDLER.fullmatch(path):
                text = f"Unexpected path: {path}. Should be {self.metrics_path}"
                return Answer(400, json.dumps({"error": text}).encode())
        if (path == LIST and self.clients_authenticated) or (path == OUR_LIST and self._may_list()):
            return Answer(200, self._list().encode())
        return None

    def _may_list(self) -> bool:
        return self.clients_authenticated or self.clear_text

    def _list(self) -> str:
        listed = [
            {
                "name": name,
                "versions": [
                    {"version": str(each.version), "state": each.state.name, "error_code": each.code.name,
                     "error_message": each.message}
                    for each in self.models.statuses(name)
                ],
            }
            for name in sorted(self.models.names())
        ]  # fmt: skip
        return json.dumps({"models": listed}, indent=1)

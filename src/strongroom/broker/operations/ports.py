"""Metrics and health over HTTP, on the port of administration.

Health needs no certificate, and says no more than which part does not work; reasons and metrics are for those whose
certificate is registered (threats SV-01, SV-19).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.problems import NotAuthenticated
from strongroom.broker.operations.health import Health
from strongroom.broker.operations.metrics import CONTENT_TYPE, Metrics
from strongroom.broker.web import client_certificate_of, problem
from strongroom.errors import StrongroomError

HEALTHY: Final = "ok\n"


def routes(administration: Administration, metrics: Metrics, health: Callable[[], Health]) -> list[Route]:
    """Return /healthz (the process answers), /readyz (it could release a secret) and /metrics."""

    def known(request: Request) -> bool:
        try:
            administration.actor_of(client_certificate_of(request.scope))
        except StrongroomError:  # nobody, or the store that knows is away
            return False
        return True

    async def healthz(_: Request) -> Response:
        return PlainTextResponse(HEALTHY)

    async def readyz(request: Request) -> Response:
        found = await run_in_threadpool(health)
        reasons = await run_in_threadpool(known, request)
        return JSONResponse(found.to_json_object(reasons=reasons), 200 if found.ready else 503)

    async def scrape(request: Request) -> Response:
        if not await run_in_threadpool(known, request):
            return problem(
                401, NotAuthenticated.code, "no active administrator is identified", fix=NotAuthenticated.fix
            )
        return Response(await run_in_threadpool(metrics.text), media_type=CONTENT_TYPE)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scrape)]

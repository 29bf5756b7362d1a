"""``/healthz`` (the process answers), ``/readyz`` (models and store can be used), ``/metrics``."""

import shutil
from pathlib import Path

from fastapi import APIRouter, Response

from cds.bootstrap import warm_up
from cds.entrypoints.api.routes import ProblemRoute, problems
from cds.entrypoints.api.schemas import HealthOut
from cds.entrypoints.service import Service
from cds.errors import StoreUnavailableError
from cds.metrics import CONTENT_TYPE
from cds.settings import MEBIBYTE
from cds.version import engine_version

LEAST_FREE_BYTES = 64 * MEBIBYTE


def health_router(service: Service) -> APIRouter:
    """The routes; the two checks are open to everybody, since what asks them (an orchestrator) logs in nowhere.

    Args:
        service: what is checked.
    """
    router = APIRouter(route_class=ProblemRoute, tags=["health"])

    @router.get("/healthz", summary="The process answers")
    async def healthz() -> HealthOut:
        return HealthOut(status="live", version=engine_version())

    @router.get("/readyz", summary="Every model is loaded, and the store answers", responses=problems())
    def readyz() -> HealthOut:
        warm_up(service.engines)
        if service.store is not None:
            service.store.database.check()
            check_space(service.settings.data_dir)
        watch = service.engines.models
        return HealthOut(status="ready", version=engine_version(), models_kept={} if watch is None else watch.kept)

    @router.get(
        "/metrics",
        summary="Counts and durations for Prometheus",
        response_class=Response,
        responses={200: {"description": "Metrics", "content": {"text/plain": {}}}, **problems()},
    )
    def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return router


def check_space(folder: Path) -> None:
    """Whether there is room for another case.

    Raises:
        StoreUnavailableError: there is not, or the folder cannot be looked at.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StoreUnavailableError(
            f"The data folder cannot be used: {error.strerror}.", remedy="Check the folder and its rights."
        ) from None
    if free < LEAST_FREE_BYTES:
        raise StoreUnavailableError(
            f"Less than {LEAST_FREE_BYTES // MEBIBYTE} MiB are free in the data folder.",
            remedy="Make room, or set FRACTURE_CDS_DATA_DIR to a larger disk.",
        )

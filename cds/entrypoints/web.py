"""The HTTP service: the form at ``/``, the API under ``/api``, health at ``/healthz`` and ``/readyz``.

It is meant for one department's machine: it listens on the loopback address unless told otherwise, and loads nothing
from other hosts. Finished cases are kept in the store unless it is switched off. Uploads of the form lie in a private
temporary folder until they expire.
"""

import logging
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn

import uvicorn
from fastapi import FastAPI, Security, params
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from cds.audit import AuditTrail
from cds.bootstrap import build_audit_trail, build_engines, warm_up
from cds.entrypoints.api.assess import assess_router
from cds.entrypoints.api.cases import cases_router
from cds.entrypoints.api.elsewhere import add_elsewhere
from cds.entrypoints.api.feedback import disagreements_router, feedback_router
from cds.entrypoints.api.health import health_router
from cds.entrypoints.api.jobs import jobs_router
from cds.entrypoints.api.models import models_router
from cds.entrypoints.api.requests import RequestMetrics
from cds.entrypoints.api.routes import problems
from cds.entrypoints.auth import install_access, mount_login
from cds.entrypoints.auth_audit import AccessAudit
from cds.entrypoints.guards import BodyLimit, PrivacyHeaders
from cds.entrypoints.hooks import HooksCors, build_feedback_store, mount_hooks
from cds.entrypoints.launch import mount_launch
from cds.entrypoints.oidc_login import build_oidc_login, mount_oidc_login
from cds.entrypoints.problems import install_problem_handlers
from cds.entrypoints.service import Service
from cds.entrypoints.tls_reload import renewed_when_changed
from cds.errors import explain
from cds.logs import configure_logging
from cds.pipeline import Engines
from cds.security.access import build_gate, check_bind
from cds.security.secrets import tls_files
from cds.settings import MEBIBYTE, Settings
from cds.smart_launch import build_launches
from cds.store.opening import Store, open_store
from cds.version import engine_version
from cds.work.gate import Turnstile
from cds.work.supervisor import Supervisor
from cds.work.worker import BuildEngines

_log = logging.getLogger(__name__)

FORM_OVERHEAD_BYTES = MEBIBYTE
"""Room for the text fields and the framing of a multipart request."""
_SCHEME = HTTPBearer(auto_error=False, description="Access token, API key, or token of the OpenID Connect issuer.")


def create_app(
    settings: Settings,
    engines: Engines | None = None,
    audit: AuditTrail | None = None,
    store: Store | None = None,
    *,
    workers: BuildEngines | bool = False,
) -> FastAPI:
    """Build the service.

    Args:
        settings: limits, access token, allowed hosts.
        engines: the parts to use; the real ones by default.
        audit: where assessments are recorded; what the settings say by default.
        store: where cases are kept, open; the caller closes it. None keeps nothing.
        workers: whether worker processes for jobs run as long as the service, and what makes their engines.
    """
    from cds.entrypoints.drift_web import mount_drift
    from cds.entrypoints.evidence_web import mount_evidence
    from cds.entrypoints.form import discard_uploads, mount_form

    database = None if store is None else store.database
    service = Service(
        settings=settings,
        engines=engines or build_engines(settings),
        audit=audit or build_audit_trail(settings, store),
        store=store,
        launches=build_launches(settings, database),
    )
    if service.engines.models is not None:
        service.engines.models.tell = partial(service.metrics.model_failed, where="web")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_load_early, args=(service.engines,), daemon=True).start()
        crew = _crew(service, workers)
        crew.start()
        yield
        discard_uploads()
        await run_in_threadpool(crew.stop)

    app = FastAPI(
        title="fracture-cds",
        version=engine_version(),
        summary="Decision support for limb fractures. Investigational, not for diagnostic use.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load their scripts from another host
        redoc_url=None,
        responses=problems(422),
        lifespan=lifespan,
    )
    gate = build_gate(settings, database)
    check_bind(settings, gate)
    install_problem_handlers(app)
    oidc_login = build_oidc_login(settings, database)
    mount_login(app, gate, service.audit, oidc=oidc_login is not None)
    mount_oidc_login(app, settings, oidc_login, gate, service.audit)
    mount_launch(app, settings, service.launches, service.audit)
    mount_evidence(app)
    mount_drift(app, service)
    _add_api(app, service, described=[] if gate.is_open else [Security(_SCHEME)])
    cards = build_feedback_store(settings, store)
    mount_hooks(app, settings=settings, engines=service.engines, audit=service.audit, feedback=cards)

    mount_form(app, service)
    if store is not None:
        kept = store.cases
        app.add_middleware(AccessAudit, trail=service.audit, patient_of=lambda one: kept.get(one).patient_key)
    install_access(app, gate, requests_per_minute=settings.requests_per_minute, trail=service.audit)
    # The JSON of the API holds the image in base64: four bytes for three.
    limit = settings.max_image_bytes * 4 // 3 + settings.max_record_bytes + FORM_OVERHEAD_BYTES
    app.add_middleware(BodyLimit, limit_bytes=limit)
    app.add_middleware(HooksCors, origins=settings.hooks_origins)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts), www_redirect=False)
    app.add_middleware(PrivacyHeaders)
    app.add_middleware(RequestMetrics, metrics=service.metrics)
    return app


def run_server(settings: Settings, *, build: BuildEngines | None = None) -> None:
    """Serve until interrupted.

    Args:
        settings: everything.
        build: makes the engines, here and in the workers, importable by name; the real ones by default.
    """
    configure_logging(settings.log_level)
    # uvicorn stops in order, then lets the signal have its way: the store must be closed first.
    signal.signal(signal.SIGTERM, _leave)
    store = None if settings.store == "off" else open_store(settings, job_capacity=settings.queue_limit)
    try:
        engines = None if build is None else build(settings)
        _serve(create_app(settings, engines, store=store, workers=build or True), settings)
    finally:
        if store is not None:
            store.close()


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _serve(app: FastAPI, settings: Settings) -> None:
    certificate, key = tls_files(settings)
    scheme = "http" if certificate is None else "https"
    print(f"fracture-cds at {scheme}://{settings.host}:{settings.port} (stop with Ctrl+C)", flush=True)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_context_factory=None if certificate is None or key is None else renewed_when_changed(certificate, key),
        timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
    )


def _load_early(engines: Engines) -> None:
    """Load the models while the first page is read; a failure is explained when a case or ``/readyz`` meets it."""
    try:
        warm_up(engines)
    except Exception as error:
        problem = explain(error)
        _log.warning("not ready: %s [%s]", problem.what, problem.code)


def _add_api(app: FastAPI, service: Service, *, described: Sequence[params.Depends]) -> None:
    """The REST API, health and metrics; call it before anything is mounted at ``/``.

    Args:
        app: the service.
        service: what the routes use.
        described: what the description says about credentials; who is let in is decided before (`install_access`).
    """
    settings = service.settings
    turnstile = Turnstile(at_once=settings.assess_at_once, limit=settings.queue_limit)
    app.include_router(health_router(service))
    for router in (
        assess_router(service, turnstile),
        jobs_router(service),
        cases_router(service),
        feedback_router(service),
        disagreements_router(service),
        models_router(settings),
    ):
        app.include_router(router, dependencies=described)
    add_elsewhere(app)
    store = service.store
    service.metrics.watch(direct=lambda: turnstile.inside, jobs=None if store is None else store.jobs.unfinished)


def _crew(service: Service, workers: BuildEngines | bool) -> Supervisor:
    """The worker processes; none where there is no store to take jobs from."""
    count = service.settings.workers if workers and service.store is not None else 0
    crew = Supervisor(service.settings, service.metrics, count=count, build=workers if callable(workers) else None)
    service.metrics.watch(workers=crew.alive)
    return crew

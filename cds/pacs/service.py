"""The listener with its workers, from start to graceful stop."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cds.audit import AuditTrail
from cds.bootstrap import build_audit_trail
from cds.pacs.destinations import Destination
from cds.pacs.intake import Intake
from cds.pacs.listener import Listener, ListenerOptions
from cds.pacs.queue import PacsQueue
from cds.pacs.worker import AssessingWorker, Patience, SendingWorker, Worker, work
from cds.pipeline import Engines
from cds.settings import MEBIBYTE, Settings
from cds.store.jobs import JobQueue
from cds.store.opening import Store, open_store

_log = logging.getLogger(__name__)
JOB_GRACE_S = 30.0
"""How long a stop waits for the job in hand; what is cut off is done again after its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a listener consists of."""

    store: Store
    engines: Engines
    model_id: str
    """Of the detector in `engines`."""
    audit: AuditTrail
    destination: Destination | None
    """None keeps the results here."""


def open_intake(settings: Settings, store: Store, *, model_id: str) -> Intake:
    """The way into the queue that the settings describe."""
    return Intake(
        JobQueue(store.database, store.blobs, capacity=settings.pacs_queue_capacity),
        PacsQueue(store.database),
        model_id=model_id,
        folder=Path(settings.data_dir),
        max_bytes=settings.max_image_bytes,
        min_free_bytes=settings.pacs_min_free_mib * MEBIBYTE,
        unstated=settings.pacs_unstated,
    )


def listen(
    settings: Settings,
    service: Service,
    options: ListenerOptions,
    *,
    stop: threading.Event,
    started: Callable[[int], None] = lambda _: None,
    patience: Patience | None = None,
) -> None:
    """Listen and work until told to stop; then finish what is in hand.

    Args:
        settings: limits of the queue.
        service: what takes part.
        options: where to listen, and for whom.
        stop: set it to end.
        started: is told the port once the listener answers.
        patience: by default what the settings say.

    Raises:
        SettingsError: the address, or a file for TLS, cannot be used.
    """
    patience = patience or Patience(
        lease=timedelta(seconds=settings.pacs_lease_seconds),
        give_up_after=timedelta(hours=settings.pacs_give_up_hours),
    )
    listener = Listener(open_intake(settings, service.store, model_id=service.model_id), options)
    port = listener.start()
    threads = [
        threading.Thread(target=work, args=(worker, stop), name=name, daemon=True)
        for name, worker in _workers(service, patience).items()
    ]
    try:
        for thread in threads:
            thread.start()
        started(port)
        stop.wait()
    finally:
        stop.set()
        listener.stop()
        for thread in threads:
            thread.join(JOB_GRACE_S)
        _log.info("stopped")


def open_service(settings: Settings, engines: Engines, *, model_id: str, destination: Destination | None) -> Service:
    """Open the store with its audit trail, and put the parts together.

    Raises:
        StoreError: the store cannot be opened.
    """
    store = open_store(settings)
    audit = build_audit_trail(settings, store)
    return Service(store=store, engines=engines, model_id=model_id, audit=audit, destination=destination)


def _workers(service: Service, patience: Patience) -> dict[str, Worker]:
    """An assessor, and a sender where there is somewhere to send to."""
    own = f"{socket.gethostname()[:60]}:{os.getpid()}"
    workers: dict[str, Worker] = {
        "assess": AssessingWorker(
            service.store,
            service.engines,
            audit=service.audit,
            sends=service.destination is not None,
            name=f"{own}:assess",
            patience=patience,
        )
    }
    if service.destination is not None:
        workers["send"] = SendingWorker(service.store, service.destination, name=f"{own}:send", patience=patience)
    return workers

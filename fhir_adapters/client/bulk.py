"""FHIR Bulk Data ``$export``: a population's records from a server into a folder of NDJSON files.

The story: ask (kick-off), wait (poll the status address), fetch (a few files at a time), report. Whatever stops it, the
same call goes on: the status address and the finished files are on the disk (`bulk_state`). Only when the server has
dropped the export (404, 410) does it begin anew, with all files: two exports describe two moments and are not mixed.

Standard: HL7 FHIR Bulk Data Access 2.0.0 (export operation), and the pages of a manifest of 3.0.0.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from fhir_adapters.client.addresses import host_of
from fhir_adapters.client.answers import Reply, error_for
from fhir_adapters.client.bulk_files import NDJSON, Budget, FileRules, fetch_file
from fhir_adapters.client.bulk_manifest import OUTCOME, Manifest, admitted, read_manifest
from fhir_adapters.client.bulk_report import Effort, make_report
from fhir_adapters.client.bulk_state import (
    REPORT,
    ExportedFile,
    ExportLevel,
    ExportRequest,
    ExportState,
    begun_level,
    finished_report,
    open_state,
    remove_export,
    write_whole,
)
from fhir_adapters.client.fhir import FhirClient, checked_id
from fhir_adapters.client.retrying import RetryPolicy, parse_retry_after
from fhir_adapters.errors import (
    ExportDeadlineError,
    ExportExpiredError,
    ExportFailedError,
    FhirError,
    FhirServerError,
    ServerContentError,
    ServerFailureError,
    ServerOutcomeError,
    ServerRedirectError,
    ServerRefusalError,
    ServerTimeoutError,
    ServerUnreachableError,
)
from fhir_adapters.shapes import as_list, as_object, as_text

__all__ = [
    "ExportLevel",
    "ExportLimits",
    "ExportPhase",
    "ExportProgress",
    "ExportResult",
    "ExportedFile",
    "begun_level",
    "export",
    "finished_report",
    "remove_export",
]

_BUSY = (429, 502, 503, 504)
_PASSING = (ServerFailureError, ServerContentError, ServerUnreachableError, ServerTimeoutError)
"""While the server prepares, these may pass."""
_UNREADABLE = 3
"""Answers in a row that cannot be read, before they are believed."""
_EXPORTS = 3
"""Exports asked for in one call at most, while the server keeps dropping them."""
_SHORTEST_POLL_S = 0.2
_CANCEL_S = 10.0
_SHOWN = 80
"""Characters of the server's own words on its progress."""


class ExportPhase(StrEnum):
    """How far an export is."""

    ASKING = "asking"
    PREPARING = "preparing"
    """The server collects."""
    FETCHING = "fetching"
    ANEW = "anew"
    """The server no longer has the export; it is asked for again."""
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportProgress:
    """Told to the caller now and then; holds nothing of a patient."""

    phase: ExportPhase
    words: str = ""
    """The server's ``X-Progress``, as far as it can be shown."""
    files_done: int = 0
    files: int = 0
    bytes: int = 0
    """Arrived in this run, decompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLimits:
    """Limits of patience and of room."""

    deadline_s: float = 6 * 3600.0
    """For the whole call."""
    first_poll_s: float = 1.0
    """Wait before the status is asked for again, doubled up to `longest_poll_s`, unless the server says how long."""
    longest_poll_s: float = 60.0
    parallel: int = 3
    """Files at a time."""
    retries: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempts=6, first_wait_s=1.0, longest_wait_s=60.0))
    """For each file, and for a server that fails while it prepares; `attempts` is counted without progress between."""
    max_bytes: int | None = None
    """Of all files together, decompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """A finished export."""

    folder: Path
    files: tuple[ExportedFile, ...]
    """By name."""
    transaction_time: str | None
    """The moment that the export describes, by the server's clock."""
    severities: tuple[tuple[str, int], ...]
    """Issues that the server reports beside the files: severity and how many."""
    warnings: tuple[str, ...]
    """Codes of `fhir_adapters.client.warnings`."""
    report: dict[str, Any]
    """As in ``manifest.json``: counts, nothing of a patient."""
    resumed: bool
    """Whether an earlier call had begun it."""

    @property
    def counts(self) -> dict[str, int]:
        """Resources of each type."""
        counted: Counter[str] = Counter()
        for file in self.files:
            if file.type != OUTCOME:
                counted[file.type] += file.lines
        return dict(sorted(counted.items()))


def _silent(progress: ExportProgress) -> None:
    """Tell nobody."""


async def export(
    client: FhirClient,
    *,
    folder: Path,
    types: Iterable[str],
    since: datetime | None = None,
    level: ExportLevel = ExportLevel.SYSTEM,
    group_id: str | None = None,
    limits: ExportLimits | None = None,
    accept_counts: bool = False,
    progress: Callable[[ExportProgress], None] = _silent,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> ExportResult:
    """Export records into a folder, or go on with the export that an earlier call began there.

    A call that is cancelled while the server prepares tells it to stop (DELETE); one that is cancelled or killed later
    leaves files and state for the next call. A finished export is returned as it lies there.

    Args:
        client: of the server, open.
        folder: empty or new, or that of an earlier call with the same request.
        types: resource types that are wanted, such as `fhir_adapters.reader.READ_TYPES`.
        since: only resources changed since then, timezone-aware.
        level: whose records.
        group_id: logical id of the Group, for the level of that name.
        limits: of patience and of room.
        accept_counts: accept a file that holds fewer resources than the server promised; a warning then says so.
        progress: told how far it is.
        sleep: waits, for tests.
        clock: seconds, for tests.

    Raises:
        ExportFolderError: the folder holds something else.
        ExportExpiredError: the server keeps dropping the export.
        ExportFailedError: the server cannot prepare it.
        ExportDeadlineError: it takes too long.
        ExportDamagedError: a file does not arrive whole.
        FhirServerError: the server refuses, does not answer, or not in FHIR.
        ClientAuthError: no token to be had.
        OSError: the folder cannot be written.
    """
    request = ExportRequest(
        server=str(client.base),
        level=level,
        group_id=None if group_id is None else checked_id(group_id.removeprefix("Group/")),
        types=tuple(sorted(set(types))),
        since=None if since is None else since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    state = open_state(folder, request)
    if state.report is not None:
        if all(state.finished(key) for key in state.files):
            return _result(state, state.report, resumed=True)
        state.forget()
    limits = limits or ExportLimits()
    run = _Run(client, state, limits, accept_counts, progress, sleep, clock)
    try:
        async with asyncio.timeout(limits.deadline_s):
            return await run.to_the_end()
    except TimeoutError:
        raise ExportDeadlineError(f"The export is not finished after {limits.deadline_s / 3600:.1f} hours.") from None
    except asyncio.CancelledError:
        if not run.fetching:
            await run.cancel()
        raise


class _Run:
    """One call."""

    def __init__(
        self,
        client: FhirClient,
        state: ExportState,
        limits: ExportLimits,
        accept_counts: bool,
        progress: Callable[[ExportProgress], None],
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._client, self._state, self._limits = client, state, limits
        self._accept_counts, self._progress, self._sleep, self._clock = accept_counts, progress, sleep, clock
        self._began = clock()
        self._bytes = 0
        self._anew = 0
        self._before = client.traffic.requests, client.traffic.retries, client.traffic.received_bytes
        self.fetching = False

    async def to_the_end(self) -> ExportResult:
        resumed = self._state.status_url is not None
        while True:
            try:
                if self._state.status_url is None:
                    await self._ask()
                return await self._finish(await self._prepared(), resumed)
            except ExportExpiredError:
                # What has arrived describes another moment than a new export, so none of it is kept.
                self._state.forget()
                self.fetching = False
                self._anew += 1
                if self._anew >= _EXPORTS:
                    raise
                self._progress(ExportProgress(phase=ExportPhase.ANEW))
            except ExportFailedError:
                self._state.forget()
                raise

    async def cancel(self) -> None:
        """Tell the server that nobody waits any longer; a server that does not listen does no harm."""
        address = self._state.status_url
        if address is None:
            return
        with suppress(FhirError, TimeoutError):
            await asyncio.wait_for(self._client.delete(address, ok=(200, 202, 204, 404, 410)), _CANCEL_S)
        self._state.forget()

    async def _ask(self) -> None:
        """Kick-off."""
        self._progress(ExportProgress(phase=ExportPhase.ASKING))
        types = self._state.request.types
        try:
            reply = await self._kick_off(types)
        except ServerRefusalError:
            types = await self._known_types(types)
            if types == self._state.request.types or "Patient" not in types:
                raise
            reply = await self._kick_off(types)
        location = reply.headers.get("content-location") or reply.headers.get("location")
        if not location:
            raise ServerContentError("The server accepted the export, but does not say where its status is.")
        url = admitted(self._client, location)
        if not self._client.is_home(url):
            raise ServerRedirectError(f"The status of the export is on another host, {host_of(url)}.")
        self._state.begin(str(url), tuple(sorted(set(self._state.request.types) - set(types))))

    async def _kick_off(self, types: tuple[str, ...]) -> Reply:
        request = self._state.request
        path = {
            ExportLevel.SYSTEM: "$export",
            ExportLevel.PATIENT: "Patient/$export",
            ExportLevel.GROUP: f"Group/{request.group_id}/$export",
        }[request.level]
        params = [("_outputFormat", NDJSON), ("_type", ",".join(types))]
        if request.since is not None:
            params.append(("_since", request.since))
        attempt = 0
        while True:
            # A busy server may ask for more patience than one request has.
            reply = await self._client.get(
                path, params=params, headers={"Prefer": "respond-async"}, ok=(200, 202, *_BUSY)
            )
            if reply.status == 202:
                return reply
            if reply.status == 200:
                reply.resource()  # an OperationOutcome may say what is wrong
                raise ServerContentError(
                    "The server answered the request for an export at once, as if it were none.",
                    remedy="Check that its CapabilityStatement offers the operation 'export'.",
                )
            attempt += 1
            await self._wait(self._limits.retries.wait_s(attempt, reply.headers.get("retry-after")))

    async def _known_types(self, types: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the types that the server's CapabilityStatement names."""
        try:
            statement = await self._client.capabilities()
        except FhirServerError:
            return types
        rest = (as_object(item) for item in as_list(statement.get("rest")))
        offered = {as_text(as_object(item).get("type")) for side in rest for item in as_list(side.get("resource"))}
        return tuple(name for name in types if name in offered)

    async def _prepared(self) -> Manifest:
        """Poll until the server has prepared the files."""
        wait_s, attempts, failures = self._limits.first_poll_s, self._limits.retries.attempts, 0
        while True:
            reply: Reply | None = None
            try:
                reply = await self._status(self._state.status_url or "")
                if reply.status == 200:
                    return await read_manifest(self._client, reply, frozenset(self._state.request.types), self._status)
                if reply.status == 500:
                    raise error_for(reply)
                failures = 0
            except ServerOutcomeError as error:
                raise ExportFailedError(f"The server could not prepare the export: {error}") from None
            except _PASSING as error:
                failures += 1
                if failures >= (_UNREADABLE if isinstance(error, ServerContentError) else attempts):
                    if isinstance(error, ServerFailureError):
                        raise ExportFailedError(f"The server could not prepare the export: {error}") from None
                    raise
            words = "" if reply is None or reply.status != 202 else _shown(reply.headers.get("x-progress", ""))
            self._progress(ExportProgress(phase=ExportPhase.PREPARING, words=words))
            asked = None if reply is None else parse_retry_after(reply.headers.get("retry-after"))
            await self._wait(wait_s if asked is None else max(asked, _SHORTEST_POLL_S))
            wait_s = min(2 * wait_s, self._limits.longest_poll_s)

    async def _status(self, url: str) -> Reply:
        reply = await self._client.get(url, accept="application/json", ok=(200, 202, 404, 410, 500, *_BUSY))
        if reply.status in {404, 410}:
            raise ExportExpiredError("The server no longer has the export.")
        return reply

    async def _finish(self, manifest: Manifest, resumed: bool) -> ExportResult:
        self.fetching = True
        self._state.keep_only({file.key for file in manifest.files if self._state.finished(file.key)})
        kept = len(self._state.files)
        await self._fetch(manifest)
        report = make_report(
            self._state,
            manifest,
            Effort(
                seconds=round(self._clock() - self._began, 3),
                requests=self._client.traffic.requests - self._before[0],
                retries=self._client.traffic.retries - self._before[1],
                received_bytes=self._client.traffic.received_bytes - self._before[2],
                files_from_before=kept,
                exports_begun_anew=self._anew,
            ),
        )
        write_whole(self._state.folder / REPORT, orjson.dumps(report, option=orjson.OPT_INDENT_2))
        self._state.report = report
        address, self._state.status_url = self._state.status_url, None
        self._state.save()
        # The files lie here now, so the server need not keep them.
        with suppress(FhirError, TimeoutError):
            await asyncio.wait_for(self._client.delete(address or "", ok=(200, 202, 204, 404, 410)), _CANCEL_S)
        self._progress(ExportProgress(phase=ExportPhase.DONE))
        return _result(self._state, report, resumed=resumed)

    async def _fetch(self, manifest: Manifest) -> None:
        """Fetch what is not here yet, a few at a time; the first that fails stops the others."""
        names = self._state.names((file.key, file.type) for file in manifest.files)
        missing = [file for file in manifest.files if file.key not in self._state.files]
        total = len(manifest.files)
        waiting = iter(missing)
        done = total - len(missing)

        def tell() -> None:
            self._progress(ExportProgress(phase=ExportPhase.FETCHING, files_done=done, files=total, bytes=self._bytes))

        def arrived(size: int) -> None:
            self._bytes += size
            tell()

        rules = FileRules(
            retries=self._limits.retries,
            token=manifest.requires_token,
            accept_counts=self._accept_counts,
            budget=Budget(self._limits.max_bytes, sum(file.bytes for file in self._state.files.values())),
            sleep=self._wait,
            arrived=arrived,
        )

        async def worker() -> None:
            nonlocal done
            for file in waiting:
                path = self._state.folder / names[file.key]
                self._state.add(await fetch_file(self._client, file, path, rules))
                done += 1
                tell()

        tell()
        tasks = [asyncio.ensure_future(worker()) for _ in range(min(self._limits.parallel, len(missing)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self, seconds: float) -> None:
        """Sleep, unless the deadline comes first."""
        if seconds > self._limits.deadline_s - (self._clock() - self._began):
            raise ExportDeadlineError(
                f"The export is not finished, and the next attempt, in {seconds:.0f} s, would be past the deadline."
            )
        await self._sleep(seconds)


def _shown(words: str) -> str:
    return "".join(character for character in words[:_SHOWN] if character.isprintable())


def _result(state: ExportState, report: dict[str, Any], *, resumed: bool) -> ExportResult:
    return ExportResult(
        folder=state.folder,
        files=tuple(sorted(state.files.values(), key=lambda file: file.name)),
        transaction_time=report["transaction_time"],
        severities=tuple(report["issues"].items()),
        warnings=tuple(report["warnings"]),
        report=report,
        resumed=resumed,
    )

import asyncio
import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_adapters.client.auth import BearerAuth
from fhir_adapters.client.bulk import ExportLevel, ExportLimits, ExportPhase, ExportProgress, ExportResult, export
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.client.warnings import ClientWarning
from fhir_adapters.errors import (
    ExportDamagedError,
    ExportDeadlineError,
    ExportExpiredError,
    ExportFailedError,
    ExportFolderError,
    ForbiddenError,
    ServerAnswerTooLargeError,
    ServerBusyError,
    ServerContentError,
    ServerRedirectError,
    ServerRefusalError,
    ServerUnreachableError,
)
from tests.support.bulk_double import (
    STATUS,
    BulkServer,
    Clock,
    accepted,
    broken,
    lines,
    manifest,
    ndjson,
    offered,
    packed,
)
from tests.support.fhir_double import BASE, client, outcome, resource

TYPES = ("Patient", "Condition")
TOKEN = "token-Planted"
PATIENTS = lines("Patient", 3)
PATIENT_FILE = [offered("Patient", "p", 3)]
LIMITS = ExportLimits(retries=RetryPolicy(attempts=4, first_wait_s=1, longest_wait_s=8, jitter=lambda: 1))


def run(server: BulkServer, folder: Path, *, base: str = BASE, **options: Any) -> tuple[ExportResult, Clock]:
    clock = Clock()
    given: dict[str, Any] = {"types": TYPES, "limits": LIMITS} | options

    async def go() -> ExportResult:
        auth = BearerAuth.fixed(TOKEN) if base.startswith("https") else None
        async with client(server, auth=auth, base_url=base) as fhir:
            return await export(fhir, folder=folder, sleep=clock, clock=clock.now, **given)

    return asyncio.run(go()), clock


def fails(error: type[Exception], server: BulkServer, folder: Path, **options: Any) -> Exception:
    with pytest.raises(error) as caught:
        run(server, folder, **options)
    told = f"{caught.value} {getattr(caught.value, 'remedy', '')}"
    assert TOKEN not in told and "Plantedname" not in told and "/files/" not in told
    return caught.value


def sent_token(request: httpx.Request) -> bool:
    return "authorization" in request.headers


def test_ask_wait_fetch_report(tmp_path: Path) -> None:
    told: list[ExportProgress] = []
    server = BulkServer(
        status=[
            httpx.Response(202, headers={"x-progress": "40% done\x00\n", "retry-after": "7"}),
            httpx.Response(202),
            httpx.Response(202),
            manifest([*PATIENT_FILE, offered("Condition", "c1", 2), offered("Condition", "c2")]),
        ],
        p=ndjson(PATIENTS),
        c1=ndjson(lines("Condition", 2)),
        c2=ndjson(lines("Condition", 4, start=2)),
    )
    result, clock = run(server, tmp_path / "x", progress=told.append)
    first = server.requests[0]
    assert dict(first.url.params) == {"_outputFormat": "application/fhir+ndjson", "_type": "Condition,Patient"}
    assert first.headers["prefer"] == "respond-async" and first.headers["accept"] == "application/fhir+json"
    assert result.counts == {"Condition": 6, "Patient": 3} and result.warnings == () and not result.resumed
    assert [file.name for file in result.files] == ["Condition.1.ndjson", "Condition.2.ndjson", "Patient.1.ndjson"]
    assert (tmp_path / "x" / "Patient.1.ndjson").read_bytes() == PATIENTS
    assert clock.waits == [7, 2, 4]  # what the server asks, else doubled
    assert "40% done" in {one.words for one in told}
    assert told[-1].phase is ExportPhase.DONE and max(one.files_done for one in told) == 3
    assert server.deleted == [STATUS]  # the server need not keep it
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        ".export.files",
        ".export.json",
        "Condition.1.ndjson",
        "Condition.2.ndjson",
        "Patient.1.ndjson",
        "manifest.json",
    ]
    report = (tmp_path / "x" / "manifest.json").read_text()
    assert json.loads(report)["resources"] == {"Condition": 6, "Patient": 3}
    assert '"pat0"' not in report and "/files/" not in report


def test_level_and_since(tmp_path: Path) -> None:
    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))
    since = datetime.fromisoformat("2025-03-01T01:00:00+02:00")
    result, _ = run(server, tmp_path, level=ExportLevel.GROUP, group_id="ward-7", since=since)
    assert server.requests[0].url.path == "/fhir/Group/ward-7/$export"
    assert server.requests[0].url.params["_since"] == "2025-02-28T23:00:00Z"
    assert set(result.warnings) == {"fhir.export.type_absent:Condition", "fhir.export.since"}
    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))
    run(server, tmp_path / "patient", level=ExportLevel.PATIENT)
    assert server.requests[0].url.path == "/fhir/Patient/$export"


def test_the_token_goes_home_and_only_when_wanted(tmp_path: Path) -> None:
    far = [offered("Condition", "c", 1, host="https://files.example")]
    answers: dict[str, Any] = {"p": ndjson(PATIENTS), "c": ndjson(lines("Condition", 1))}
    wanted = BulkServer(status=manifest([*PATIENT_FILE, *far]), **answers)
    run(wanted, tmp_path / "a")
    assert sent_token(wanted.asked("/p")[0]) and not sent_token(wanted.asked("/c")[0])
    spared = BulkServer(status=manifest([*PATIENT_FILE, *far], token=False), **answers)
    run(spared, tmp_path / "b")
    assert sent_token(spared.asked("/1")[0]) and not sent_token(spared.asked("/p")[0])


@pytest.mark.parametrize(
    "address",
    [
        "http://files.example/files/p",
        "ftp://ehr.example/p",
        "file:///etc/passwd",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/p",
        "https://me:secret@files.example/p",
    ],
)
def test_addresses_that_are_not_asked(tmp_path: Path, address: str) -> None:
    server = BulkServer(status=manifest([{"type": "Patient", "url": address}]), p=ndjson(PATIENTS))
    fails(ServerRedirectError, server, tmp_path)
    assert all(request.url.host == "ehr.example" for request in server.requests)


def test_plain_http_of_the_same_host_means_tls(tmp_path: Path) -> None:
    plain = BASE.replace("https", "http")
    server = BulkServer(
        export=accepted(**{"content-location": f"{plain}/jobs/1"}),
        status=manifest([offered("Patient", "p", 3, host=plain)]),
        p=ndjson(PATIENTS),
    )
    run(server, tmp_path)
    assert {request.url.scheme for request in server.requests} == {"https"}


def test_no_redirect_to_another_host(tmp_path: Path) -> None:
    server = BulkServer(
        status=manifest(PATIENT_FILE), p=httpx.Response(307, headers={"location": "https://files.example/p"})
    )
    fails(ServerRedirectError, server, tmp_path)
    server = BulkServer(
        status=manifest(PATIENT_FILE), p=httpx.Response(307, headers={"location": "q"}), q=ndjson(PATIENTS)
    )
    run(server, tmp_path / "home")
    assert sent_token(server.asked("/q")[0])


def test_the_status_stays_at_home(tmp_path: Path) -> None:
    server = BulkServer(export=accepted(**{"content-location": "https://other.example/jobs/1"}))
    fails(ServerRedirectError, server, tmp_path)
    fails(ServerContentError, BulkServer(export=httpx.Response(202)), tmp_path / "b")


def test_busy_and_failing_servers_are_waited_for(tmp_path: Path) -> None:
    busy = httpx.Response(429, headers={"retry-after": "120"})
    server = BulkServer(
        export=[busy, httpx.Response(503), accepted()],
        status=[busy, httpx.Response(500), httpx.ConnectError("about Plantedname"), manifest(PATIENT_FILE)],
        p=[httpx.Response(503, headers={"retry-after": "30"}), httpx.Response(500), ndjson(PATIENTS)],
    )
    result, clock = run(server, tmp_path)
    assert result.counts == {"Patient": 3}
    assert [wait for wait in clock.waits if wait >= 30] == [120, 120, 30]
    assert result.report["retries"] >= 2


def test_a_server_that_stays_busy(tmp_path: Path) -> None:
    server = BulkServer(status=manifest(PATIENT_FILE), p=httpx.Response(429))
    fails(ServerBusyError, server, tmp_path)
    assert len(server.asked("/p")) == LIMITS.retries.attempts


@pytest.mark.parametrize(
    "status",
    [
        httpx.Response(500, json=outcome("error")),
        resource(outcome("fatal", "exception")),
    ],
)
def test_an_export_that_fails_is_begun_anew_by_the_next_call(tmp_path: Path, status: httpx.Response) -> None:
    fails(ExportFailedError, BulkServer(status=status), tmp_path)
    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))
    result, _ = run(server, tmp_path)
    assert len(server.asked("$export")) == 1 and not result.resumed


def test_the_deadline(tmp_path: Path) -> None:
    limits = ExportLimits(deadline_s=600)
    server = BulkServer(status=httpx.Response(202, headers={"retry-after": "250"}))
    fails(ExportDeadlineError, server, tmp_path, limits=limits)
    assert len(server.asked("/1")) == 3 and server.deleted == []
    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))
    result, _ = run(server, tmp_path)
    assert result.resumed and server.asked("$export") == []  # the next call waits for the same export


def test_the_deadline_of_a_server_that_hangs(tmp_path: Path) -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async def go() -> None:
        async with client(hang) as fhir:
            await export(fhir, folder=tmp_path, types=TYPES, limits=ExportLimits(deadline_s=0.05))

    with pytest.raises(ExportDeadlineError):
        asyncio.run(go())


def interrupt(server: BulkServer, folder: Path, *, after: str) -> None:
    """Cancel the call when it reports this phase."""

    async def go() -> None:
        def watch(told: ExportProgress) -> None:
            if told.phase.value == after:
                task.cancel()

        async with client(server, auth=BearerAuth.fixed(TOKEN)) as fhir:
            task = asyncio.ensure_future(export(fhir, folder=folder, types=TYPES, progress=watch))
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(go())


def test_interrupted_while_the_server_prepares(tmp_path: Path) -> None:
    server = BulkServer(status=httpx.Response(202))
    interrupt(server, tmp_path, after="preparing")
    assert server.deleted == [STATUS]
    result, _ = run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS)), tmp_path)
    assert not result.resumed


def test_interrupted_while_files_come(tmp_path: Path) -> None:
    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))
    interrupt(server, tmp_path, after="fetching")
    assert server.deleted == []
    result, _ = run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS)), tmp_path)
    assert result.resumed and result.counts == {"Patient": 3}


def test_a_killed_export_goes_on_with_the_missing_files(tmp_path: Path) -> None:
    files = [offered("Patient", "p", 3), offered("Condition", "c1", 1), offered("Condition", "c2", 2)]
    dead = BulkServer(
        status=manifest(files),
        p=ndjson(PATIENTS),
        c1=ndjson(lines("Condition", 1)),
        c2=httpx.Response(403),
    )
    fails(ForbiddenError, dead, tmp_path, limits=ExportLimits(parallel=1))
    (tmp_path / ".Condition.2.ndjson.part").write_bytes(b'{"resourceType":"Con')
    # The new manifest signs its addresses anew, and names the files in another order.
    signed = [
        {**file, "url": f"{file['url']}?X-Amz-Signature={number}&sig=b"} for number, file in enumerate(reversed(files))
    ]
    server = BulkServer(status=manifest(signed), c2=ndjson(lines("Condition", 2, start=1)))
    result, _ = run(server, tmp_path)
    assert [request.url.path for request in server.requests if request.method == "GET"] == [
        "/fhir/jobs/1",
        "/fhir/files/c2",
    ]
    assert result.resumed and result.counts == {"Condition": 3, "Patient": 3}
    assert result.report["files_from_before"] == 2
    assert [file.lines for file in result.files] == [1, 2, 3]
    assert list(tmp_path.glob(".*.part")) == []


def test_no_secret_in_the_state(tmp_path: Path) -> None:
    signed = [{"type": "Patient", "url": "https://files.example/p?sig=Planted-signature"}]
    server = BulkServer(status=manifest(signed), p=httpx.Response(403))
    fails(ForbiddenError, server, tmp_path)
    for path in tmp_path.iterdir():
        assert b"lanted" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


def test_a_finished_export_is_not_fetched_again(tmp_path: Path) -> None:
    first, _ = run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS)), tmp_path)
    silent = BulkServer()
    second, _ = run(silent, tmp_path)
    assert silent.requests == [] and second.resumed
    assert (second.files, second.warnings, second.report) == (first.files, first.warnings, first.report)
    (tmp_path / "Patient.1.ndjson").write_bytes(b"")
    third, _ = run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS)), tmp_path)
    assert third.counts == {"Patient": 3}


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "Patient.ndjson").write_bytes(PATIENTS)
    fails(ExportFolderError, BulkServer(), tmp_path / "full")
    run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS)), tmp_path / "done")
    error = fails(ExportFolderError, BulkServer(), tmp_path / "done", level=ExportLevel.GROUP, group_id="ward-7")
    assert "group_id, level" in str(error)
    (tmp_path / "done" / ".export.json").write_bytes(b"{")
    fails(ExportFolderError, BulkServer(), tmp_path / "done")


@pytest.mark.parametrize("status", [404, 410])
def test_an_expired_export_begins_anew(tmp_path: Path, status: int) -> None:
    files = [offered("Condition", "c", 1), *PATIENT_FILE]
    first = BulkServer(status=manifest(files), c=ndjson(lines("Condition", 1)), p=httpx.Response(403))
    fails(ForbiddenError, first, tmp_path, limits=ExportLimits(parallel=1))
    assert (tmp_path / "Condition.1.ndjson").exists()
    told: list[ExportProgress] = []
    # The status is gone, then a file of the second export, and the third arrives.
    server = BulkServer(
        status=[httpx.Response(status), manifest(PATIENT_FILE)],
        p=[httpx.Response(status), ndjson(PATIENTS)],
    )
    result, _ = run(server, tmp_path, progress=told.append)
    assert [one.phase for one in told].count(ExportPhase.ANEW) == 2
    assert len(server.asked("$export")) == 2
    assert result.counts == {"Patient": 3} and not (tmp_path / "Condition.1.ndjson").exists()
    assert result.report["exports_begun_anew"] == 2


def test_a_server_that_keeps_dropping_exports(tmp_path: Path) -> None:
    server = BulkServer(status=httpx.Response(404))
    fails(ExportExpiredError, server, tmp_path)
    assert len(server.asked("$export")) == 3


@pytest.mark.parametrize("validator", [{"etag": '"v1"'}, {"last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, {}])
def test_half_a_file_is_taken_up_where_it_broke(tmp_path: Path, validator: dict[str, str]) -> None:
    whole = lines("Patient", 5)
    end = whole.index(b"\n", 60) + 1
    rest = ndjson(whole[end:], 206, **{"content-range": f"bytes {end}-{len(whole) - 1}/{len(whole)}"})
    server = BulkServer(status=manifest([offered("Patient", "p", 5)]), p=[broken(whole[: end + 9], validator), rest])
    result, _ = run(server, tmp_path)
    assert (tmp_path / "Patient.1.ndjson").read_bytes() == whole
    again = server.asked("/p")[1].headers
    assert again["range"] == f"bytes={end}-" and again["accept-encoding"] == "identity"
    assert again.get("if-range") == next(iter(validator.values()), None)
    assert result.report["retries"] == 1


@pytest.mark.parametrize(
    "second",
    [
        ndjson(lines("Patient", 5)),
        ndjson(b"x", 206, **{"content-range": "bytes 7-7/1000"}),
        ndjson(b"x", 206),
        ndjson(b"", 416, **{"content-range": "bytes */3"}),
    ],
)
def test_a_server_without_ranges_sends_it_from_the_start(tmp_path: Path, second: httpx.Response) -> None:
    whole = lines("Patient", 5)
    server = BulkServer(status=manifest([offered("Patient", "p", 5)]), p=[broken(whole[:80]), second, ndjson(whole)])
    run(server, tmp_path)
    assert (tmp_path / "Patient.1.ndjson").read_bytes() == whole


def test_nothing_is_missing_after_the_last_byte(tmp_path: Path) -> None:
    end = ndjson(b"", 416, **{"content-range": f"bytes */{len(PATIENTS)}"})
    server = BulkServer(status=manifest(PATIENT_FILE), p=[broken(PATIENTS), end])
    result, _ = run(server, tmp_path)
    assert result.counts == {"Patient": 3}


def test_progress_renews_patience(tmp_path: Path) -> None:
    whole = lines("Patient", 12)
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    parts = [
        httpx.Response(
            206,
            stream=broken(whole[start : end + 4]).stream,
            headers={"content-range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"},
        )
        for start, end in pairwise(ends)
    ]
    last = ndjson(b"", 416, **{"content-range": f"bytes */{len(whole)}"})
    server = BulkServer(status=manifest([offered("Patient", "p", 12)]), p=[broken(whole[: ends[0] + 4]), *parts, last])
    run(server, tmp_path)
    assert (tmp_path / "Patient.1.ndjson").read_bytes() == whole


def test_a_file_that_keeps_breaking(tmp_path: Path) -> None:
    server = BulkServer(status=manifest(PATIENT_FILE), p=broken(PATIENTS[:40]))
    fails(ServerUnreachableError, server, tmp_path)
    assert list(tmp_path.glob("*.ndjson")) == [] and list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize("body", [PATIENTS[:-7], lines("Patient", 2)])
def test_a_file_cut_short_without_a_word(tmp_path: Path, body: bytes) -> None:
    """Neither a last line that is cut nor missing lines pass."""
    server = BulkServer(status=manifest(PATIENT_FILE), p=[broken(body, silently=True), ndjson(PATIENTS)])
    result, _ = run(server, tmp_path / "a")
    assert result.counts == {"Patient": 3}
    fails(ExportDamagedError, BulkServer(status=manifest(PATIENT_FILE), p=ndjson(body)), tmp_path / "b")


def test_counts_that_may_be_wrong(tmp_path: Path) -> None:
    few = BulkServer(status=manifest([offered("Patient", "p", 9)]), p=ndjson(PATIENTS))
    result, _ = run(few, tmp_path / "a", accept_counts=True, types=["Patient"])
    assert result.warnings == ("fhir.export.count:Patient.1.ndjson",)
    many = BulkServer(status=manifest([offered("Patient", "p", 1)]), p=ndjson(PATIENTS))
    result, _ = run(many, tmp_path / "b", types=["Patient"])
    assert result.warnings == ("fhir.export.count:Patient.1.ndjson",)


def test_line_ends(tmp_path: Path) -> None:
    """Neither empty lines nor a missing end of the last line are missing resources."""
    body = PATIENTS.replace(b"\n", b"\r\n\r\n").rstrip()
    result, _ = run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(body)), tmp_path)
    assert result.counts == {"Patient": 3}
    assert (tmp_path / "Patient.1.ndjson").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("encoding", [True, False])
def test_gzip(tmp_path: Path, encoding: bool) -> None:
    body = lines("Patient", 40_000)
    answer = packed(body, encoding=encoding)
    server = BulkServer(status=manifest([offered("Patient", "p", 40_000)]), p=answer)
    run(server, tmp_path)
    assert (tmp_path / "Patient.1.ndjson").read_bytes() == body
    cut = httpx.Response(200, headers=answer.headers, stream=broken(b"".join(answer.stream)[:-50]).stream)  # type: ignore[arg-type]
    server = BulkServer(status=manifest([offered("Patient", "p", 40_000)]), p=[cut, answer])
    run(server, tmp_path / "cut")
    assert (tmp_path / "cut" / "Patient.1.ndjson").read_bytes() == body


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<p>Plantedname</p>"),
        resource(outcome("error")),
        ndjson(lines("Condition", 3)),
        ndjson(b'["Plantedname"]\n' * 3),
    ],
)
def test_something_else_than_the_file(tmp_path: Path, answer: httpx.Response) -> None:
    server = BulkServer(status=manifest(PATIENT_FILE), p=[answer, ndjson(PATIENTS)])
    run(server, tmp_path / "a")
    fails(ServerContentError, BulkServer(status=manifest(PATIENT_FILE), p=answer), tmp_path / "b")


@pytest.mark.parametrize(
    "status",
    [
        httpx.Response(200, json={"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": False}),
        httpx.Response(200, html="<p>Plantedname</p>"),
        httpx.Response(200, content=b'{"output": [', headers={"content-type": "application/json"}),
        manifest([{"type": "Patient"}]),
        manifest([{"type": "../../etc", "url": f"{BASE}/files/p"}]),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, status: httpx.Response) -> None:
    fails(ServerContentError, BulkServer(status=status), tmp_path)


def test_an_empty_export(tmp_path: Path) -> None:
    result, _ = run(BulkServer(status=manifest([])), tmp_path)
    assert result.files == () and len(result.warnings) == 2
    result, _ = run(BulkServer(status=manifest(PATIENT_FILE), p=ndjson(b"")), tmp_path / "b", accept_counts=True)
    assert result.counts == {"Patient": 0}


def test_issues_are_counted_by_severity(tmp_path: Path) -> None:
    problems = [outcome("warning"), outcome("error"), outcome("error"), {"resourceType": "OperationOutcome"}]
    body = b"".join(json.dumps(item).encode() + b"\n" for item in problems)
    server = BulkServer(
        status=manifest(PATIENT_FILE, error=[offered("OperationOutcome", "e", 4)]),
        p=ndjson(PATIENTS),
        e=ndjson(body),
    )
    result, _ = run(server, tmp_path)
    assert result.severities == (("error", 3), ("warning", 1))
    assert ClientWarning.EXPORT_ERRORS in result.warnings and result.counts == {"Patient": 3}
    assert "Plantedname" not in (tmp_path / "manifest.json").read_text()
    assert (tmp_path / "OperationOutcome.1.ndjson").read_bytes() == body


def test_what_nobody_asked_for_is_passed_over(tmp_path: Path) -> None:
    server = BulkServer(
        status=manifest([*PATIENT_FILE, offered("Claim", "z")], deleted=[offered("Bundle", "d")]), p=ndjson(PATIENTS)
    )
    result, _ = run(server, tmp_path)
    assert result.report["passed_over"] == ["Claim"]
    assert result.report["lists_of_deleted_resources"] == 1
    assert server.asked("/z") == [] and server.asked("/d") == []


def test_a_manifest_of_several_pages(tmp_path: Path) -> None:
    link = [{"relation": "next", "url": f"{BASE}/jobs/page2"}]
    server = BulkServer(
        status=manifest(PATIENT_FILE, link=link),
        page2=manifest([offered("Condition", "c", 1)]),
        p=ndjson(PATIENTS),
        c=ndjson(lines("Condition", 1)),
    )
    result, _ = run(server, tmp_path)
    assert result.counts == {"Condition": 1, "Patient": 3}
    looping = BulkServer(status=manifest(PATIENT_FILE, link=[{"relation": "next", "url": STATUS}]))
    with pytest.raises(Exception, match="loop"):
        run(looping, tmp_path / "loop")


def test_files_told_apart_by_their_query_and_twins(tmp_path: Path) -> None:
    files = [{"type": "Patient", "url": f"{BASE}/files/p?{query}"} for query in ("n=1", "n=2", "sig=3", "sig=4", "n=1")]
    server = BulkServer(status=manifest(files), p=[ndjson(lines("Patient", 1, start=n)) for n in range(4)])
    result, _ = run(server, tmp_path)
    assert result.counts == {"Patient": 4}


def test_types_that_the_server_does_not_know(tmp_path: Path) -> None:
    known = {"resourceType": "CapabilityStatement", "rest": [{"resource": [{"type": "Patient"}]}]}
    server = BulkServer(
        export=[httpx.Response(400, json=outcome("error", "not-supported")), accepted()],
        metadata=resource(known),
        status=manifest(PATIENT_FILE),
        p=ndjson(PATIENTS),
    )
    result, _ = run(server, tmp_path)
    assert server.asked("$export")[1].url.params["_type"] == "Patient"
    assert result.warnings == ("fhir.export.type_unknown:Condition",)
    refusing = BulkServer(export=httpx.Response(400), metadata=httpx.Response(500))
    fails(ServerRefusalError, refusing, tmp_path / "b")


def test_a_limit_of_size(tmp_path: Path) -> None:
    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))
    fails(ServerAnswerTooLargeError, server, tmp_path, limits=ExportLimits(max_bytes=100))
    # What comes again is not counted twice.
    server = BulkServer(status=manifest(PATIENT_FILE), p=[broken(PATIENTS[:90]), ndjson(PATIENTS)])
    run(server, tmp_path / "b", limits=ExportLimits(max_bytes=len(PATIENTS)))


def test_an_answer_at_once_is_no_export(tmp_path: Path) -> None:
    server = BulkServer(export=resource({"resourceType": "Bundle"}))
    fails(ServerContentError, server, tmp_path)


def test_a_new_token_while_files_come(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/p") and request.headers["authorization"] == "Bearer first":
            token.write_text("second")
            return httpx.Response(401)
        return server(request)

    server = BulkServer(status=manifest(PATIENT_FILE), p=ndjson(PATIENTS))

    async def go() -> ExportResult:
        async with client(answer, auth=BearerAuth.from_file(token)) as fhir:
            return await export(fhir, folder=tmp_path / "x", types=TYPES)

    assert asyncio.run(go()).counts == {"Patient": 3}


def test_many_files_a_few_at_a_time(tmp_path: Path) -> None:
    open_now = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal open_now, most
        if "/files/" not in request.url.path:
            return server(request)
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0)
        open_now -= 1
        return ndjson(lines("Patient", 1, start=int(request.url.path.split("f")[-1])))

    server = BulkServer(status=manifest([offered("Patient", f"f{n}", 1) for n in range(200)]))

    async def go() -> ExportResult:
        async with FhirClient(BASE, transport=httpx.MockTransport(answer), verify=False) as fhir:
            return await export(fhir, folder=tmp_path, types=TYPES)

    result = asyncio.run(go())
    assert result.counts == {"Patient": 200} and most <= 3
    ids = {json.loads(path.read_bytes())["id"] for path in tmp_path.glob("*.ndjson")}
    assert len(ids) == 200

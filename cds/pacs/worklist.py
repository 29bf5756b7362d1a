"""Which studies a person should read first.

What the standards offer, and what is done here
-----------------------------------------------
* DICOM Modality Worklist (PS3.4 annex K) is what an X-ray machine asks for before it takes an image; an order that is
  done is no longer on it. So it cannot carry the result of an assessment.
* The procedure for work that follows an image is the Unified Procedure Step (PS3.4 annex CC) with Scheduled Procedure
  Step Priority (0074,1200) HIGH, MEDIUM or LOW; in FHIR it is a Task with ``priority``. This module gives each unsigned
  case both words, so that an integration engine or a RIS can carry them over.
* The DIMSE priority (0000,0700) of a C-STORE is a request to treat one message sooner. Results that somebody must act
  on within hours are sent first, and with HIGH.

The machine's urgency is a hint for the order of reading, never a reason to read a study later than its turn would be:
LOW is therefore never given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cds.store.cases import MAX_PAGE, CaseQuery, CaseStore, StoredCase
from fusion.results import Urgency

DICOM_PRIORITIES: Final = {Urgency.IMMEDIATE: "HIGH", Urgency.WITHIN_HOURS: "HIGH"}
"""Scheduled Procedure Step Priority; the others are MEDIUM."""
TASK_PRIORITIES: Final = {Urgency.IMMEDIATE: "stat", Urgency.WITHIN_HOURS: "asap", Urgency.CLINIC: "urgent"}
"""FHIR request-priority; the others are routine."""
_ORDER: Final = {urgency.value: place for place, urgency in enumerate(Urgency)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A case that nobody signed yet."""

    case_id: str
    study_uid: str | None
    created: datetime
    urgency: str
    call: str | None
    """Fracture call; None without a radiograph."""
    title: str
    dicom_priority: str
    task_priority: str


def worklist(cases: CaseStore, *, since: datetime | None = None) -> tuple[WorkItem, ...]:
    """Unsigned cases, the most urgent first, then the oldest.

    Args:
        cases: the store.
        since: leave out what is older.

    Raises:
        StoreError: the store does not answer.
    """
    found: list[StoredCase] = []
    query: CaseQuery | None = CaseQuery(signed=False, since=since, limit=MAX_PAGE)
    while query is not None:
        page = cases.find(query)
        found.extend(page.cases)
        query = None if page.next_cursor is None else replace(query, cursor=page.next_cursor)
    return tuple(_item(case) for case in sorted(found, key=lambda one: (_ORDER[one.urgency], one.created)))


def task_bundle(items: Sequence[WorkItem]) -> dict[str, Any]:
    """The list as a FHIR R4 Bundle of Tasks, in its order; without any data of patients but the study's UID."""
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{one.case_id}", "resource": _task(one)} for one in items],
    }


def _item(case: StoredCase) -> WorkItem:
    urgency = Urgency(case.urgency)
    return WorkItem(
        case_id=case.id,
        study_uid=case.study_uid,
        created=case.created,
        urgency=case.urgency,
        call=case.call,
        title=case.title,
        dicom_priority=DICOM_PRIORITIES.get(urgency, "MEDIUM"),
        task_priority=TASK_PRIORITIES.get(urgency, "routine"),
    )


def _task(item: WorkItem) -> dict[str, Any]:
    task: dict[str, Any] = {
        "resourceType": "Task",
        "id": item.case_id,
        "status": "requested",
        "intent": "proposal",
        "priority": item.task_priority,
        "code": {"text": "Read the radiograph and the report of the assessment"},
        "authoredOn": item.created.isoformat(),
    }
    if item.study_uid is not None:
        identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{item.study_uid}"}
        task["focus"] = {"type": "ImagingStudy", "identifier": identifier}
    return task

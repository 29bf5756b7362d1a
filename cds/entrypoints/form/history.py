"""The list of kept cases, with search."""

import json
from typing import Any

from cds.entrypoints.service import Service
from cds.presenters import wording
from cds.store.cases import CaseQuery, StoredCase
from fusion.results import Urgency

PAGE = 25
ANY = "any"
SIGNED: dict[str, bool | None] = {ANY: None, "signed": True, "unsigned": False}


def history_data(service: Service, *, text: str, urgency: str, signed: str, cursor: str | None = None) -> str:
    """A page of the list, as JSON for the browser.

    Args:
        service: with its store.
        text: part of the result, or the beginning of an identifier.
        urgency: one of `Urgency`, or ``any``.
        signed: one of `SIGNED`.
        cursor: where the page before ended.

    Raises:
        StoreError: the store does not answer.
    """
    if service.store is None:
        return json.dumps({"rows": [], "note": "This server keeps no cases (FRACTURE_CDS_STORE=off).", "cursor": None})
    page = service.store.cases.find(
        CaseQuery(
            text=text.strip() or None,
            urgency=urgency if urgency in set(Urgency) else None,
            signed=SIGNED.get(signed),
            limit=PAGE,
            cursor=cursor,
        )
    )
    note = "No case is kept that fits." if not page.cases else f"{_cases(len(page.cases))}, the newest first."
    return json.dumps({"rows": [_row(one) for one in page.cases], "note": note, "cursor": page.next_cursor})


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def _row(one: StoredCase) -> dict[str, Any]:
    urgencies = {member.value: text for member, text in wording.URGENCIES.items()}
    return {
        "id": one.id,
        "created": wording.moment(one.created),
        "title": one.title,
        "urgency": urgencies.get(one.urgency, one.urgency),
        "region": None if one.region is None else wording.words(one.region),
        "patient": one.patient_key,
        "signed": None if one.signed_by is None else f"by {one.signed_by}",
    }

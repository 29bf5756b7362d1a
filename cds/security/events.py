"""FHIR AuditEvents after IHE Basic Audit Log Patterns (BALP) 1.1.4: PatientRead, PatientCreate, PatientQuery and kin.

* A patient is named by the store's keyed digest, never by a number or name.
* The raw request of a search stands in base64, as BALP asks; identifiers of patients in it are the one thing replaced.
* Of an opaque token the last characters only (`cds.security.roles.tail`), in the agent that BALP has for it.
* What BALP has no profile for (sign, export, log in), and what failed, is a plain AuditEvent of the same shape.
"""

import base64
import re
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import orjson

from cds.audit import AccessRecord, AuditKind
from cds.version import engine_version

PROFILES: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/"
_BALP_TYPES: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
PATIENT_SYSTEM: Final = "urn:fracture-cds:patient-digest"
"""Identifier system of a patient's keyed digest."""
CASE_SYSTEM: Final = "urn:fracture-cds:target"
ACTOR_SYSTEM: Final = "urn:fracture-cds:actor"
_PATIENT_PARAMETERS: Final = re.compile(
    r"(?i)(?<=[?&])((?:patient|patient_key|patient_id|subject|identifier|name|family|given|birthdate|text|q)"
    r"(?:[:.][^=&]*)?=)([^&]*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSource:
    """How this service names itself."""

    address: str
    """Host and port it listens on."""
    name: str = "fracture-cds"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a kind of event is called."""

    action: str
    subtype: tuple[str, str]
    """System and code."""
    profile: str | None
    """BALP profile without a patient; with one, ``Patient`` stands before it."""
    user: str = "IRCP"
    """Participation of the person."""


_SHAPES: Final = {
    AuditKind.CREATE: _Shape(action="C", subtype=(_INTERACTION, "create"), profile="Create", user="AUT"),
    AuditKind.READ: _Shape(action="R", subtype=(_INTERACTION, "read"), profile="Read"),
    AuditKind.QUERY: _Shape(action="E", subtype=(_INTERACTION, "search"), profile="Query"),
    AuditKind.UPDATE: _Shape(action="U", subtype=(_INTERACTION, "update"), profile="Update", user="AUT"),
    AuditKind.DELETE: _Shape(action="D", subtype=(_INTERACTION, "delete"), profile="Delete", user="CST"),
    AuditKind.EXPORT: _Shape(action="R", subtype=(_INTERACTION, "operation"), profile=None),
    AuditKind.ALERT: _Shape(action="E", subtype=(_DCM, "110126"), profile=None),
    AuditKind.LOGIN: _Shape(action="E", subtype=(_DCM, "110122"), profile=None),
}


def event_of(entry: AccessRecord, patient: str | None, source: EventSource) -> bytes:
    """One AuditEvent as JSON.

    Args:
        entry: what happened.
        patient: keyed digest of the patient; None for none.
        source: this service.
    """
    shape = _SHAPES[entry.kind]
    profiles = _profiles(entry, shape, patient)
    system, code = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
    if shape.subtype[0] == _DCM:
        system, code = (_DCM, {AuditKind.LOGIN: "110114", AuditKind.ALERT: "110113"}[entry.kind])
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(uuid4()),
        **({"meta": {"profile": [PROFILES + one for one in profiles]}} if profiles else {}),
        "type": {"system": system, "code": code},
        "subtype": [{"system": shape.subtype[0], "code": shape.subtype[1]}],
        "action": shape.action,
        "recorded": entry.occurred.astimezone(UTC).isoformat(timespec="milliseconds"),
        "outcome": "0" if entry.outcome == "ok" else "4",
        **({} if entry.outcome == "ok" else {"outcomeDesc": entry.outcome}),
        "agent": _agents(entry, shape, source),
        "source": {
            "site": source.name,
            "observer": {"display": f"{source.name} {engine_version()}"},
            "type": [{"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4"}],
        },
    }
    entities = _entities(entry, patient)
    return orjson.dumps(event | ({"entity": entities} if entities else {}))


def _profiles(entry: AccessRecord, shape: _Shape, patient: str | None) -> list[str]:
    """BALP's profiles are for what succeeded, and for what names its object."""
    complete = entry.target is not None or (entry.kind is AuditKind.QUERY and entry.query is not None)
    if shape.profile is None or entry.outcome != "ok" or not complete:
        return []
    main = f"IHE.BasicAudit.{'Patient' if patient else ''}{shape.profile}"
    return [main, *(["IHE.BasicAudit.OAUTHaccessTokenUse.Opaque"] if entry.token_tail else [])]


def _agents(entry: AccessRecord, shape: _Shape, source: EventSource) -> list[dict[str, Any]]:
    """The client, this server, the person and the token."""
    # BALP follows the data: who reads is the destination, who creates or asks is the source.
    client, server = ("110152", "110153") if entry.kind is AuditKind.READ else ("110153", "110152")
    who = {"identifier": {"system": ACTOR_SYSTEM, "value": entry.actor}}
    agents: list[dict[str, Any]] = [
        {
            "type": {"coding": [{"system": _DCM, "code": client}]},
            "who": {"display": entry.address or "this machine"},
            "requestor": False,
            "network": {"address": entry.address or "localhost", "type": "2" if _is_address(entry.address) else "1"},
        },
        {
            "type": {"coding": [{"system": _DCM, "code": server}]},
            "who": {"display": source.name},
            "requestor": False,
            "network": {"address": source.address, "type": "1"},
        },
        {
            "type": {"coding": [{"system": _PARTICIPATION, "code": shape.user}]},
            "who": who,
            "requestor": True,
            "name": entry.actor,
            **({"role": [{"text": entry.role}]} if entry.role else {}),
        },
    ]
    if entry.token_tail:
        kind = {
            "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes",
            "code": "UserOauthAgent",
        }
        agents.append(
            {
                "type": {"coding": [kind]},
                "who": who,
                "requestor": True,
                "policy": [quote(entry.token_tail, safe="")],
            }
        )
    return agents


def _entities(entry: AccessRecord, patient: str | None) -> list[dict[str, Any]]:
    """The patient, the object, the search and the request's own number."""
    found: list[dict[str, Any]] = []
    if patient is not None:
        found.append(
            {
                "what": {"type": "Patient", "identifier": {"system": PATIENT_SYSTEM, "value": patient}},
                "type": {"system": _ENTITY, "code": "1"},
                "role": {"system": _ROLE, "code": "1"},
            }
        )
    if entry.kind is AuditKind.QUERY and entry.query is not None:
        raw = without_patients(entry.query).encode(errors="replace")
        found.append(
            {
                "type": {"system": _ENTITY, "code": "2"},
                "role": {"system": _ROLE, "code": "24"},
                "query": base64.b64encode(raw).decode(),
            }
        )
    elif entry.target is not None:
        found.append(
            {
                "what": {"identifier": {"system": CASE_SYSTEM, "value": entry.target}},
                "type": {"system": _ENTITY, "code": "2"},
                "role": {"system": _ROLE, "code": "4"},
            }
        )
    if entry.request_id:
        found.append(
            {
                "what": {"identifier": {"value": entry.request_id[:128]}},
                "type": {"system": _BALP_TYPES, "code": "XrequestId"},
            }
        )
    return found


def without_patients(request: str) -> str:
    """A raw request with the values of parameters that can name a patient replaced by their length."""
    return _PATIENT_PARAMETERS.sub(lambda found: f"{found[1]}({len(found[2])}-characters)", request)


def _is_address(text: str | None) -> bool:
    return text is not None and bool(re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", text))

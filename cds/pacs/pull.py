"""Radiographs from a PACS: C-FIND to find them, then C-MOVE to a listener or C-GET to here (PS3.4 annex C).

Found are studies, then their series of projection radiographs; nothing else is fetched. C-MOVE asks the PACS to send
to a title that it knows, mostly that of ``cds pacs listen``. C-GET brings them over the same association and needs no
set-up at the PACS, but not every PACS offers it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import build_role, evt
from pynetdicom.association import Association

from cds.errors import InputError, PacsQueryError
from cds.pacs.selection import RADIOGRAPHY
from cds.pacs.send import HIGH, MEDIUM, VERIFICATION, PacsPeer, associate, own_entity
from fhir_adapters.client.dicomweb import is_uid

_FIND: Final = UID("1.2.840.10008.5.1.4.1.2.2.1")
_MOVE: Final = UID("1.2.840.10008.5.1.4.1.2.2.2")
_GET: Final = UID("1.2.840.10008.5.1.4.1.2.2.3")
"""Study Root Query/Retrieve (PS3.4 C.6.2.1.3)."""
_CLASSES: Final = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)
_SYNTAXES: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
_SUCCESS: Final = 0x0000
_PENDING: Final = (0xFF00, 0xFF01)
_UNKNOWN_DESTINATION: Final = 0xA801
_NOT_TAKEN: Final = 0xC000


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """Which radiographs; at least one is given."""

    patient_id: str | None = field(default=None, repr=False)
    study: str | None = None
    """Study Instance UID."""
    since: date | None = None
    """Earliest Study Date."""

    def __post_init__(self) -> None:
        """Refuse to fetch a whole archive, and wildcards that would.

        Raises:
            InputError: nothing is named, or a name holds a wildcard.
        """
        if self.patient_id is None and self.study is None and self.since is None:
            raise InputError("Nothing was named to be fetched.", remedy="Give --patient-id, --study or --since.")
        if any(sign in (text or "") for text in (self.patient_id, self.study) for sign in "*?\\"):
            raise InputError("A patient or a study is named with a wildcard.", remedy="Give the whole identifier.")
        if self.study is not None and not is_uid(self.study):
            raise InputError("The study is no DICOM UID.", remedy="Give digits and dots, at most 64 characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlace:
    """A series of radiographs at the PACS."""

    study: str
    series: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a PACS handed over."""

    series: int
    completed: int
    """Instances that arrived where they were to go."""
    failed: int


def echo(peer: PacsPeer) -> None:
    """Ask a PACS whether it is there (C-ECHO).

    Raises:
        PacsError: it is not, or not for us.
    """
    association = _opened(peer, VERIFICATION)
    try:
        if association.send_c_echo().get("Status") != _SUCCESS:
            raise PacsQueryError("The PACS does not answer an echo.", remedy="Check host, port and both titles.")
    finally:
        _released(association)


def find_series(peer: PacsPeer, wanted: PullRequest) -> tuple[SeriesPlace, ...]:
    """The series of projection radiographs that match, in the order of the PACS.

    Raises:
        PacsError: the PACS cannot be asked, or its answer is an error.
    """
    study = Dataset()
    study.QueryRetrieveLevel = "STUDY"
    study.PatientID = wanted.patient_id or ""
    study.StudyInstanceUID = wanted.study or ""
    study.StudyDate = "" if wanted.since is None else f"{wanted.since:%Y%m%d}-"
    study.ModalitiesInStudy = ""
    association = _opened(peer, _FIND)
    try:
        places: list[SeriesPlace] = []
        for one in _found(association, study):
            stated = _texts(one.get("ModalitiesInStudy"))
            if stated and not RADIOGRAPHY & stated:
                continue
            places.extend(_series_of(association, str(one.get("StudyInstanceUID", ""))))
    finally:
        _released(association)
    return tuple(places)


def move(peer: PacsPeer, places: tuple[SeriesPlace, ...], *, destination_aet: str, first: bool = False) -> Pulled:
    """Have a PACS send series to a title that it knows.

    Args:
        peer: the PACS.
        places: what `find_series` found.
        destination_aet: whom to send to, mostly our own listener.
        first: ask for priority HIGH.

    Raises:
        PacsError: the PACS cannot be asked, or refuses.
    """
    association = _opened(peer, _MOVE)
    completed = failed = 0
    try:
        for place in places:
            answers = association.send_c_move(
                _identifier(place), destination_aet, _MOVE,
                priority=HIGH if first else MEDIUM,
            )  # fmt: skip
            done, lost = _tally(answers)
            completed, failed = completed + done, failed + lost
    finally:
        _released(association)
    return Pulled(series=len(places), completed=completed, failed=failed)


def get(
    peer: PacsPeer, places: tuple[SeriesPlace, ...], take: Callable[[bytes], bool], *, first: bool = False
) -> Pulled:
    """Fetch series over the association that asks for them.

    Args:
        peer: the PACS.
        places: what `find_series` found.
        take: keeps a DICOM file; False when it could not.
        first: ask for priority HIGH.

    Raises:
        PacsError: the PACS cannot be asked, refuses, or offers no C-GET.
    """
    taken = lost = 0

    def store(event: evt.Event) -> int:
        nonlocal taken, lost
        if take(event.encoded_dataset()):
            taken += 1
            return _SUCCESS
        lost += 1
        return _NOT_TAKEN

    association = _opened(peer, _GET, store=store)
    try:
        for place in places:
            answers = association.send_c_get(_identifier(place), _GET, priority=HIGH if first else MEDIUM)
            _, failed = _tally(answers)
            lost = max(lost, failed)
    finally:
        _released(association)
    return Pulled(series=len(places), completed=taken, failed=lost)


def _opened(peer: PacsPeer, model: str, *, store: Callable[[evt.Event], int] | None = None) -> Association:
    entity = own_entity(peer)
    entity.add_requested_context(model)
    roles = []
    if store is not None:
        for storage in _CLASSES:
            # One syntax a context: of several the PACS would have to re-encode into the one it picks.
            for syntax in _SYNTAXES:
                entity.add_requested_context(storage, syntax)
            roles.append(build_role(storage, scp_role=True))
    handlers = [] if store is None else [(evt.EVT_C_STORE, store)]
    association = associate(entity, peer, roles=roles, handlers=handlers)
    if association is None:
        raise PacsQueryError("The PACS does not answer.", remedy="Check host, port and network, then try again.")
    if not any(context.abstract_syntax == model for context in association.accepted_contexts):
        _released(association)
        raise PacsQueryError(
            f"The PACS offers no {UID(model).name}.", remedy="Have it enabled at the PACS, or fetch another way."
        )
    return association


def _released(association: Association) -> None:
    if association.is_established:
        association.release()


def _found(association: Association, identifier: Dataset) -> list[Dataset]:
    """All matches of a query."""
    matches: list[Dataset] = []
    for status, match in association.send_c_find(identifier, _FIND):
        code = status.get("Status")
        if code in _PENDING and match is not None:
            matches.append(match)
        elif code != _SUCCESS:
            raise PacsQueryError(
                f"The PACS ended the query with status {'none' if code is None else f'{code:04X}'}.",
                remedy="Try again; if it stays, see the log of the PACS.",
            )
    return matches


def _series_of(association: Association, study: str) -> list[SeriesPlace]:
    series = Dataset()
    series.QueryRetrieveLevel = "SERIES"
    series.StudyInstanceUID = study
    series.SeriesInstanceUID = ""
    series.Modality = ""
    found = _found(association, series)
    return [
        SeriesPlace(study=study, series=str(one.SeriesInstanceUID))
        for one in found
        if str(one.get("Modality", "")) in RADIOGRAPHY and one.get("SeriesInstanceUID")
    ]


def _identifier(place: SeriesPlace) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID = place.study
    identifier.SeriesInstanceUID = place.series
    return identifier


def _tally(answers: Any) -> tuple[int, int]:
    """Completed and failed sub-operations of a retrieval, from its last answer."""
    completed = failed = 0
    for status, _ in answers:
        code = status.get("Status")
        if code is None:
            raise PacsQueryError("The PACS broke off.", remedy="Repeat the command: nothing is kept twice.")
        if code == _UNKNOWN_DESTINATION:
            raise PacsQueryError(
                "The PACS does not know the title that it was to send to.",
                remedy="Have the listener's title, host and port entered at the PACS, or fetch with C-GET.",
            )
        completed = status.get("NumberOfCompletedSuboperations", completed)
        failed = status.get("NumberOfFailedSuboperations", failed)
        if code & 0xF000 in (0xA000, 0xC000) and not completed and not failed:
            raise PacsQueryError(f"The PACS refuses with status {code:04X}.", remedy="See the log of the PACS.")
    return int(completed), int(failed)


def _texts(value: Any) -> set[str]:
    if value is None or value == "":
        return set()
    return {value} if isinstance(value, str) else {str(one) for one in value}

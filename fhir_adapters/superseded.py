"""Which Observations an older date has already lost: told from their bytes, so that nobody need parse them.

Of weight, height, smoking and laboratory values only the newest usable one counts, and a record repeats them at every
visit. A line in the usual form of an export shows its code and date to one regular expression (`dated`). `Repeats`
gathers such lines of one patient and lets go of those that are days older than the newest of their kind; when the
snapshot is made, `Repeats.settled` checks that something as new as that was used. If not, because the newest was
refused, everything is read. The result is therefore that of reading everything, including every warning; only a line
that was let go of is not checked for being JSON, like one whose code is of no interest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from fhir_adapters.codes.observations import OBSERVABLES, SMOKING_ANSWERS, Observable
from fhir_adapters.patient import PatientSnapshot, SmokingStatus

_FIELDS = {
    Observable.WEIGHT: "weight_kg",
    Observable.HEIGHT: "height_cm",
    Observable.BMI: "bmi_kg_m2",
    Observable.SMOKING: "smoking",
    Observable.ALCOHOL: "alcohol_units_per_week",
    Observable.VITAMIN_D: "vitamin_d_nmol_l",
    Observable.CALCIUM: "calcium_mmol_l",
    Observable.EGFR: "egfr_ml_min_1_73m2",
    Observable.HBA1C: "hba1c_percent",
}
"""Things measured of which the newest usable value alone matters, and the field of the snapshot that holds it."""
_SMOKING_QUESTION = b"72166-2"
_FIELD_OF: Mapping[bytes, str] = {
    code.encode(): _FIELDS[what]
    for code, (_, what) in OBSERVABLES.items()
    if what in _FIELDS and (what is not Observable.SMOKING or code == _SMOKING_QUESTION.decode())
}
_SMOKED = frozenset(
    code.encode()
    for (_, code), status in SMOKING_ANSWERS.items()
    if status in {SmokingStatus.CURRENT, SmokingStatus.FORMER}
)

_START = b'{"resourceType":"Observation","id":"'
_SUBJECT = b'"subject":{"reference":"'
_WHEN = b'"effectiveDateTime":"'
_TEXT = rb'"[^"\\]*+"'
_CODING = rb'\{"system":%b,"code":%b(?:,"display":%b)?\}' % (_TEXT, _TEXT, _TEXT)
_CONCEPT = rb'\{"coding":\[%b(?:,%b)*\](?:,"text":%b)?\}' % (_CODING, _CODING, _TEXT)
_META = rb'"meta":\{(?:[^{}"]|%b|\{(?:[^{}"]|%b)*\})*\}' % (_TEXT, _TEXT)
_MEASURED = re.compile(
    rb'",(?:%b,)?"status":"[a-z\-]+",(?:"category":\[%b(?:,%b)*\],)?' % (_META, _CONCEPT, _CONCEPT)
    + rb'"code":\{"coding":\[\{"system":%b,"code":"([^"\\]+)"(?:,"display":%b)?\}' % (_TEXT, _TEXT)
    + rb'(?:,%b)*\](?:,"text":%b)?\},' % (_CODING, _TEXT)
)
"""The elements between id and subject, in the order of the FHIR specification, each at the top of the resource."""
_DAY = rb"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_WHOSE_AND_WHEN = re.compile(
    rb'(?:Patient/|urn:uuid:)([A-Za-z0-9\-.]{1,64}+)"(?:,"display":%b)?\},' % _TEXT
    + rb'(?:"encounter":\{"reference":%b(?:,"display":%b)?\},)?"effectiveDateTime":"' % (_TEXT, _TEXT)
    + rb"((?:18[5-9]|19\d|20\d|21\d)\d-%b)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d" % _DAY
    + rb'(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)"'
)
_ANSWER = re.compile(
    rb'(?:,"issued":%b)?,"valueCodeableConcept":\{"coding":\[\{"system":%b,"code":"([^"\\\x00-\x1f]+)"' % (_TEXT, _TEXT)
    + rb'(?:,"display":%b)?\}\](?:,"text":%b)?\}' % (_TEXT, _TEXT)
)


Dated = tuple[bytes, bytes, bytes]
"""What the bytes of an Observation tell: the logical id of its subject; the code that names what was measured, for
smoking with a slash and the code of the answer; and the calendar day of ``effectiveDateTime`` in its own zone. A bare
tuple, since millions are made."""


def dated(line: bytes, known_codes: int) -> Dated | None:
    r"""Read an Observation from its bytes.

    Args:
        line: One Observation without its line end, without escapes of the form ``\u0041``, and without repeated keys.
        known_codes: How many codes of `relevant_codes` stand in the line.

    Returns:
        None when it must be parsed: the line has not the usual form, is not of a kind whose older values can be let go
        of, or could say more than a value (a modifier extension, implicit rules, a component of interest).
    """
    if not line.startswith(_START):
        return None
    begin = line.find(b'"', len(_START))
    subject = line.find(_SUBJECT, begin)
    code = _measured(line[begin:subject])
    if code is None:
        return None
    end = line.find(b'"', line.find(_WHEN, subject) + len(_WHEN)) + 1
    found = _whose_and_when(line[subject + len(_SUBJECT) : end])
    if found is None:
        return None
    if line.find(b'"modifierExtension"', end) >= 0 or line.find(b'"implicitRules"', end) >= 0:
        return None
    if code == _SMOKING_QUESTION:
        answer = _ANSWER.match(line, end)
        if answer is None or known_codes != 1 + (answer[1].decode("utf-8", "replace") in OBSERVABLES):
            return None
        code = b"%b/%b" % (code, answer[1])
    elif known_codes != 1:
        return None
    return found[0], code, found[1]


@lru_cache(maxsize=4096)
def _measured(told: bytes) -> bytes | None:
    """The code between id and subject, where it is one of `_FIELD_OF`; the same few hundred texts come again."""
    found = _MEASURED.fullmatch(told)
    return found[1] if found is not None and found[1] in _FIELD_OF else None


@lru_cache(maxsize=1024)
def _whose_and_when(told: bytes) -> tuple[bytes, bytes] | None:
    """Patient and day, from the reference to the end of the time: the same for all that was measured at one visit."""
    found = _WHOSE_AND_WHEN.fullmatch(told)
    return None if found is None else (found[1], found[2])


class Repeats:
    """The dated lines of one patient, and which of them need to be read."""

    def __init__(self, as_of: datetime, birth_date: object) -> None:
        """Prepare the limits.

        Args:
            as_of: Time of the snapshot; later lines are read, because they are counted.
            birth_date: ``Patient.birthDate``; lines of that year and before are read, because they are checked.
        """
        self._born = birth_date[:4].encode() if isinstance(birth_date, str) else b""
        self._now = _before(as_of.date(), 2)
        self._newest: dict[str, bytes] = {}
        self._fields: set[str] = set()
        self._smoked = False
        self.passed_over: list[int] = []
        """Numbers of the lines that `choose` let go of."""

    def choose(self, lines: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        """Numbers of the lines to be read; the rest goes to `passed_over`.

        Args:
            lines: Any number, and code and day as `dated` told them.
        """
        now, born = self._now, self._born
        by_code: dict[bytes, bytes] = {}
        for _, code, day in lines:
            if by_code.get(code, b"") < day < now:
                by_code[code] = day
        newest = self._newest
        for code, day in by_code.items():
            field = _field_of(code)
            if newest.get(field, b"") < day:
                newest[field] = day
        limits = {code: _limit(newest[_field_of(code)]) for code in by_code}
        chosen, passed_over, let_go = [], self.passed_over, set()
        for number, code, day in lines:
            # A code that no line before now has lets nothing go.
            if day >= limits.get(code, b"") or day[:4] <= born:
                chosen.append(number)
            else:
                passed_over.append(number)
                let_go.add(code)
        self._fields.update(map(_field_of, let_go))
        self._smoked = self._smoked or any(code.rpartition(b"/")[2] in _SMOKED for code in let_go if b"/" in code)
        return chosen

    def settled(self, snapshot: PatientSnapshot) -> bool:
        """Whether the snapshot is what reading every line would have given.

        Of each thing measured of which lines were let go of, the value must come from an Observation that is younger
        than all of these. Smoking is special: "unknown" gives way to an older answer, and "never" after "smoked" is
        a contradiction.
        """
        for field in self._fields:
            told = getattr(snapshot, field)
            if told is None or told.derived_from or not told.resource.startswith("Observation/"):
                return False
            newest = datetime.fromisoformat(self._newest[field].decode()).replace(tzinfo=UTC)
            if told.effective is None or told.effective < newest - timedelta(days=2):
                return False
            if told.value is SmokingStatus.UNKNOWN or (told.value is SmokingStatus.NEVER and self._smoked):
                return False
        return True


def ids_of(lines: Iterable[bytes]) -> list[bytes]:
    """The ids of Observations that `dated` could read."""
    begin = len(_START)
    return [line[begin : line.find(b'"', begin)] for line in lines]


def share_ids(read: Iterable[object], passed_over: Iterable[bytes]) -> bool:
    """Whether a line that was let go of may be another version of a resource that is read, by their ids."""
    ids = {told.encode("utf-8", "replace") for told in read if isinstance(told, str)}
    return not ids.isdisjoint(passed_over)


def _field_of(code: bytes) -> str:
    return _FIELD_OF.get(code, "smoking")  # the one code that an answer follows


@lru_cache(maxsize=4096)
def _limit(newest: bytes) -> bytes:
    """The first day that, in another zone, may be one that lines of this day are compared with."""
    return _before(date.fromisoformat(newest.decode()), 3)


def _before(day: date, days: int) -> bytes:
    """The calendar day so many days earlier, as text; days of one length sort as they follow each other."""
    return (day - timedelta(days=days)).isoformat().encode()

"""What all readers of one patient's resources share: the time, the subject check, and the warnings."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from fhir_adapters.bundle import Entry
from fhir_adapters.dates import EARLIEST_ZONE_AHEAD, Moment
from fhir_adapters.references import Subject, SubjectResolver
from fhir_adapters.warnings import FhirWarning


class Notes:
    """Warnings in the order they arose, each once; mass findings are counted instead of listed."""

    def __init__(self) -> None:
        """Start without warnings."""
        self._single: dict[str, None] = {}
        self._counted: Counter[tuple[FhirWarning, str]] = Counter()

    def add(self, warning: FhirWarning, detail: str | None = None) -> None:
        """Note a warning about one resource, or about the record as a whole."""
        self._single[f"{warning}:{detail}" if detail else warning.value] = None

    def count(self, warning: FhirWarning, what: str) -> None:
        """Note one more case of a warning that may concern many resources."""
        self._counted[warning, what] += 1

    def lines(self) -> tuple[str, ...]:
        """The warnings as ``code`` or ``code:detail``."""
        counted = (f"{warning}:{number} {what}" for (warning, what), number in self._counted.items())
        return (*self._single, *counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One patient's record being read."""

    as_of: datetime
    """Timezone-aware."""
    resolver: SubjectResolver
    notes: Notes = field(default_factory=Notes)
    born: date | None = None
    """Date of birth, where the day is known."""

    def own(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries that belong to the patient; those that belong to nobody known are counted as warnings."""
        return filter(self.is_own, entries)

    def is_own(self, entry: Entry) -> bool:
        """Whether an entry belongs to the patient and can be understood; if not, that is noted."""
        whose = self.resolver.whose(entry)
        if whose is Subject.THIS:
            if "modifierExtension" not in entry.resource and "implicitRules" not in entry.resource:
                return True
            self.notes.add(FhirWarning.MODIFIER_UNKNOWN, entry.reference)
        elif whose is Subject.MISSING:
            self.notes.count(FhirWarning.SUBJECT_MISSING, str(entry.resource["resourceType"]))
        elif whose is Subject.UNRESOLVED:
            self.notes.count(FhirWarning.SUBJECT_UNRESOLVED, str(entry.resource["resourceType"]))
        return False

    def credible(self, moment: Moment | None, entry: Entry) -> Moment | None:
        """The moment, or None with a warning when it lies before the patient's birth."""
        if moment is None or self.born is None or moment.start.year > self.born.year:
            return moment
        if not moment.complete and moment.start.year == self.born.year:
            return moment
        birth = datetime(self.born.year, self.born.month, self.born.day, tzinfo=UTC)
        if moment.start >= birth - EARLIEST_ZONE_AHEAD:
            return moment
        self.notes.count(FhirWarning.DATE_BEFORE_BIRTH, str(entry.resource["resourceType"]))
        return None

    def is_future(self, moment: Moment | None, entry: Entry) -> bool:
        """Whether an entry is dated after the time of the snapshot; if so it is counted as a warning."""
        if moment is None or not moment.is_after(self.as_of):
            return False
        self.notes.count(FhirWarning.DATE_AFTER_AS_OF, str(entry.resource["resourceType"]))
        return True

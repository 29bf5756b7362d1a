"""What a low eGFR says of a bone drug that several parts of the report mention, so that they say the same."""

from fhir_adapters.patient import DrugClass
from fusion.facts import CaseFacts, lowest
from fusion.statements import Writer

EGFR_BISPHOSPHONATE = "care.avoid.egfr35_alendronate_zoledronate"
_BISPHOSPHONATES = (DrugClass.ORAL_BISPHOSPHONATE, DrugClass.INTRAVENOUS_BISPHOSPHONATE)


def kidney_forbids_bisphosphonate(facts: CaseFacts, writer: Writer) -> bool:
    """Whether the eGFR lies below the limit of the first bisphosphonates to be left out."""
    egfr = facts.egfr
    return egfr is not None and lowest(egfr) < writer.value(EGFR_BISPHOSPHONATE)


def forbidden_bisphosphonate_taken(facts: CaseFacts, writer: Writer) -> bool:
    """Whether a bisphosphonate is taken although the kidney speaks against it."""
    return bool(facts.drugs(*_BISPHOSPHONATES)) and kidney_forbids_bisphosphonate(facts, writer)

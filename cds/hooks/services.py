"""The services that discovery lists."""

from collections.abc import Mapping
from dataclasses import dataclass

from cds.hooks.errors import UnknownServiceError
from fhir_adapters.cds_hooks.prefetch import TEMPLATES
from fhir_adapters.cds_hooks.request import Hook
from fhir_adapters.cds_hooks.response import Discovery, ServiceDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service."""

    id: str
    hook: Hook
    """The hook under which discovery lists it."""
    hooks: tuple[Hook, ...]
    """The hooks on which it may be called."""
    title: str
    description: str
    required: tuple[str, ...]
    """Prefetch keys without which nothing can be said."""
    optional: tuple[str, ...]
    """Prefetch keys that make the answer fuller."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All its prefetch keys."""
        return (*self.required, *self.optional)


_ORDERS = (Hook.ORDER_SELECT, Hook.ORDER_SIGN)
_ORDER_DESCRIPTION = (
    "A radiograph of a limb is ordered: the patient's fractures, bone health and drugs that matter for it."
    " An NSAID, a glucocorticoid, calcium or vitamin D is ordered after a recent fracture: what speaks against it."
)
_DRUGS = ("medicationRequests",)

SERVICES: Mapping[str, Service] = {
    one.id: one
    for one in (
        Service(
            id="fracture-risk",
            hook=Hook.PATIENT_VIEW,
            hooks=(Hook.PATIENT_VIEW,),
            title="Fracture risk and bone-health gaps",
            description="Ten-year probability of a major osteoporotic and of a hip fracture, and what the record does"
            " not show after a fragility fracture: a bone density scan, bone-protecting treatment. Silent when there"
            " is nothing to act on.",
            required=("patient", "conditions", "observations", *_DRUGS),
            optional=("medicationStatements", "familyHistory", "procedures", "diagnosticReports"),
        ),
        Service(
            id="fracture-order",
            hook=Hook.ORDER_SELECT,
            hooks=_ORDERS,
            title="Fracture history and drug safety, on choosing an order",
            description=_ORDER_DESCRIPTION,
            required=("patient", "conditions", *_DRUGS),
            optional=("observations", "medicationStatements"),
        ),
        # An id of its own: clients keep services by their address, and would lose one of two with the same.
        Service(
            id="fracture-order-sign",
            hook=Hook.ORDER_SIGN,
            hooks=_ORDERS,
            title="Fracture history and drug safety, on signing orders",
            description=_ORDER_DESCRIPTION,
            required=("patient", "conditions", *_DRUGS),
            optional=("observations", "medicationStatements"),
        ),
    )
}
"""Every service, by its id."""


def service(service_id: str) -> Service:
    """A service by its id.

    Raises:
        UnknownServiceError: there is none.
    """
    try:
        return SERVICES[service_id]
    except KeyError:
        raise UnknownServiceError from None


def discovery() -> Discovery:
    """What the discovery endpoint answers."""
    return Discovery(
        services=tuple(
            ServiceDescription(
                hook=one.hook.value,
                title=one.title,
                description=one.description,
                id=one.id,
                prefetch={key: TEMPLATES[key].query for key in one.keys},
                usageRequirements="Investigational, not for diagnostic use. FHIR R4.",
            )
            for one in SERVICES.values()
        )
    )

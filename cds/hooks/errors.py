"""What can go wrong in a CDS Hooks call; the beginning of the code decides the status (see `cds.errors`).

HookError                  cds.hooks.error
+-- ClientRefusedError     cds.hooks.client       401  no token, or one that cannot be trusted
+-- UnknownServiceError    cds.hooks.service      404
+-- DataMissingError       cds.hooks.data         412  neither prefetched nor to be had from the FHIR server
+-- WrongMediaTypeError    cds.hooks.media_type   415
+-- WrongHookError         cds.hooks.hook         400  the service does not serve this hook
+-- FeedbackStoreError     cds.hooks.feedback     503  the feedback could not be kept
"""

from collections.abc import Iterable

from cds.errors import HookError


class ClientRefusedError(HookError):
    """The client did not show who it is."""

    code = "cds.hooks.client"

    def __init__(self, why: str) -> None:
        """Give the reason in one sentence; never anything of the token itself."""
        super().__init__(
            why,
            remedy="Send 'Authorization: Bearer JWT', freshly signed with ES384 or RS384 by a client that is listed in"
            " FRACTURE_CDS_HOOKS_CLIENTS, its aud the exact address that is called.",
        )


class UnknownServiceError(HookError):
    """There is no such service."""

    code = "cds.hooks.service"

    def __init__(self) -> None:
        """The id is not repeated."""
        super().__init__("There is no CDS service with this id.", remedy="GET /cds-services lists the services.")


class WrongHookError(HookError):
    """A service was called on a hook that it does not serve."""

    code = "cds.hooks.hook"

    def __init__(self, hooks: Iterable[str]) -> None:
        """Name the hooks that it serves."""
        super().__init__(
            f"This service serves {' and '.join(hooks)}, not the hook of the call.",
            remedy="Call the service that discovery lists for the hook.",
        )


class WrongMediaTypeError(HookError):
    """The body is not declared as JSON."""

    code = "cds.hooks.media_type"

    def __init__(self) -> None:
        """There is only one right way."""
        super().__init__("The body is not declared as JSON.", remedy="Send Content-Type: application/json.")


class DataMissingError(HookError):
    """What the service must know was not prefetched, and could not be read."""

    code = "cds.hooks.data"

    def __init__(self, keys: Iterable[str], why: str) -> None:
        """Name the keys.

        Args:
            keys: of the prefetch.
            why: why the FHIR server could not help, as a clause.
        """
        super().__init__(
            f"The prefetch does not hold {', '.join(keys)}, and {why}.",
            remedy="Prefetch these keys as discovery describes them, or send fhirServer (listed in"
            " FRACTURE_CDS_HOOKS_FHIR_SERVERS) with fhirAuthorization.",
        )


class FeedbackStoreError(HookError):
    """Feedback could not be kept."""

    code = "cds.hooks.feedback"

    def __init__(self, reason: str, *, remedy: str | None = None) -> None:
        """Give the reason.

        Args:
            reason: as a clause, such as the system's own words.
            remedy: how to mend it; by default that of the file.
        """
        super().__init__(
            f"What became of the cards cannot be kept: {reason}.",
            remedy=remedy
            or "Free disk space or set FRACTURE_CDS_HOOKS_FEEDBACK_LOG to a file that can be written, then repeat.",
        )

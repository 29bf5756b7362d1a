"""What can go wrong in a federation.

FederationError
  SettingsRefusedError   the settings contradict each other, or ask for what a model cannot give
  InsecureChannelError   the channel would leave this machine without TLS or without an allow-list
  WireError              bytes are not what the format says
  UpdateRefusedError     an update must not enter the model (not finite, wrong shape, forged, stale ...)
  ProtectionError        the server asks a hospital for less protection than it insists on
  TooFewHospitalsError   not enough hospitals answered
  ServerLostError        the server does not answer
  HospitalDataError      the data of this hospital cannot teach
"""

from cds.errors import FederationError

__all__ = [
    "FederationError",
    "HospitalDataError",
    "InsecureChannelError",
    "ProtectionError",
    "ServerLostError",
    "SettingsRefusedError",
    "TooFewHospitalsError",
    "UpdateRefusedError",
    "WireError",
]


class SettingsRefusedError(FederationError):
    """Settings contradict each other, or ask for what this kind of model cannot give."""

    code = "cds.federation.settings"


class InsecureChannelError(FederationError):
    """The channel would leave this machine without TLS or without an allow-list."""

    code = "cds.federation.insecure"


class WireError(FederationError):
    """Bytes are not what the format says."""

    code = "cds.federation.wire"


class UpdateRefusedError(FederationError):
    """An update must not enter the model; `reason` is one dotted word for the history."""

    code = "cds.federation.update_refused"

    def __init__(self, message: str, *, reason: str) -> None:
        """Keep the reason as a word.

        Args:
            message: what is wrong, without any value of the update.
            reason: a short word such as ``not-finite``.
        """
        super().__init__(message, remedy="Ask the hospital that sent it to look at its training.")
        self.reason = reason


class ProtectionError(FederationError):
    """The server asks for less protection than this hospital insists on."""

    code = "cds.federation.protection"


class TooFewHospitalsError(FederationError):
    """Not enough hospitals answered."""

    code = "cds.federation.too_few"


class ServerLostError(FederationError):
    """The server does not answer."""

    code = "cds.federation.server_lost"


class HospitalDataError(FederationError):
    """The data of this hospital cannot teach."""

    code = "cds.federation.data"

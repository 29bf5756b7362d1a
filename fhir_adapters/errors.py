"""Errors of the FHIR side.

    FhirError                        fhir.error
    +-- FhirInputError               fhir.input.*      the bytes are no readable Bundle
    |   +-- EmptyInputError          fhir.input.empty
    |   +-- InputTooLargeError       fhir.input.too_large
    |   +-- CompressionError         fhir.input.gzip
    |   +-- NotJsonError             fhir.input.not_json
    |   +-- NotABundleError          fhir.input.not_a_bundle
    |   +-- BundleTypeError          fhir.bundle.type
    |   +-- NotSendableError         fhir.input.not_sendable
    +-- PatientSelectionError        fhir.patient.*    the Bundle is readable, but whose record is it?
    |   +-- NoPatientError           fhir.patient.none
    |   +-- SeveralPatientsError     fhir.patient.several
    |   +-- PatientNotFoundError     fhir.patient.not_found
    +-- FhirServerError              fhir.server.*     the record is on a server that does not give it
    |   +-- ServerAddressError       fhir.server.address
    |   +-- ServerUnreachableError   fhir.server.unreachable
    |   +-- ServerCertificateError   fhir.server.certificate
    |   +-- ServerTimeoutError       fhir.server.timeout
    |   +-- ServerBusyError          fhir.server.busy
    |   +-- ServerFailureError       fhir.server.failure
    |   +-- ServerRefusalError       fhir.server.refused
    |   +-- UnauthorisedError        fhir.server.unauthorised
    |   +-- ForbiddenError           fhir.server.forbidden
    |   +-- NotOnServerError         fhir.server.not_found
    |   +-- GoneFromServerError      fhir.server.gone
    |   +-- ServerOutcomeError       fhir.server.outcome
    |   +-- ServerContentError       fhir.server.content
    |   +-- ServerAnswerTooLargeError  fhir.server.too_large
    |   +-- ServerRedirectError      fhir.server.redirect
    |   +-- PagingError              fhir.server.paging
    |   +-- RecordIncompleteError    fhir.server.incomplete
    |   +-- NotConfirmedError        fhir.server.not_confirmed
    |   +-- ExportError              fhir.server.export.*   a population (Bulk Data $export) that does not come
    |       +-- ExportFailedError    fhir.server.export.failed
    |       +-- ExportExpiredError   fhir.server.export.expired
    |       +-- ExportDeadlineError  fhir.server.export.deadline
    |       +-- ExportDamagedError   fhir.server.export.damaged
    |       +-- ExportFolderError    fhir.server.export.folder
    +-- ClientAuthError              fhir.auth.*       this program cannot show who it is
    |   +-- ClientKeyError           fhir.auth.key
    |   +-- TokenFileError           fhir.auth.token_file
    |   +-- SmartDiscoveryError      fhir.auth.discovery
    |   +-- TokenRefusedError        fhir.auth.token
    +-- ServerImageError             fhir.image.*      the radiograph is on a server that does not give it
        +-- NoServerImageError       fhir.image.none
        +-- ServerImageFormatError   fhir.image.format
    HookPayloadError (a FhirError)   fhir.hooks.payload  a call of CDS Hooks is not as the specification has it

A message never repeats what the record says: no names, identifiers, dates or values. Nor does it repeat a token, a key,
or an address of a server beyond its host, since the rest may hold an identifier.
"""

from typing import ClassVar


class FhirError(Exception):
    """Base of every error of this package.

    Attributes:
        code: Stable dotted name.
        remedy: How to mend it, in one sentence.
    """

    code: ClassVar[str] = "fhir.error"
    default_remedy: ClassVar[str] = "Check the FHIR input."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        """Keep the message and, if given, a remedy closer to the cause than the usual one."""
        super().__init__(message)
        self.remedy = remedy or self.default_remedy


class FhirInputError(FhirError):
    """The bytes are not a readable FHIR R4 Bundle."""

    code = "fhir.input"
    default_remedy = "Supply one FHIR R4 Bundle as JSON, plain or compressed with gzip."


class EmptyInputError(FhirInputError):
    """There are no bytes, or only white space."""

    code = "fhir.input.empty"


class InputTooLargeError(FhirInputError):
    """The input, or what it decompresses to, is beyond the limit."""

    code = "fhir.input.too_large"
    default_remedy = "Supply the record of one patient, or split the Bundle."


class CompressionError(FhirInputError):
    """The input starts like gzip but cannot be decompressed."""

    code = "fhir.input.gzip"
    default_remedy = "Transfer the file again in binary mode; it is damaged or cut short."


class NotJsonError(FhirInputError):
    """The input is not one JSON value."""

    code = "fhir.input.not_json"


class NotABundleError(FhirInputError):
    """The JSON is valid but holds something other than a Bundle."""

    code = "fhir.input.not_a_bundle"
    default_remedy = "Put the resources into a Bundle of type collection, with the Patient among its entries."


class BundleTypeError(FhirInputError):
    """A Bundle of a type whose entries are not the present state of a record."""

    code = "fhir.bundle.type"
    default_remedy = "Supply a Bundle of type transaction, batch, collection, searchset or document."


class NotSendableError(FhirInputError):
    """A Bundle that may not be sent to a server: it would be stored twice, for nobody, or for several people."""

    code = "fhir.input.not_sendable"
    default_remedy = "Send a bundle.json that cds wrote for a patient of this server."


class PatientSelectionError(FhirError):
    """The Bundle does not say, or not uniquely, whose record is meant."""

    code = "fhir.patient"


class NoPatientError(PatientSelectionError):
    """The Bundle holds no Patient resource."""

    code = "fhir.patient.none"
    default_remedy = "Include the Patient resource in the Bundle."


class SeveralPatientsError(PatientSelectionError):
    """The Bundle holds several Patients and none was chosen.

    Attributes:
        count: How many Patient resources the Bundle holds.
    """

    code = "fhir.patient.several"
    default_remedy = "Name the Patient by its logical id."

    def __init__(self, count: int) -> None:
        """Tell how many there are."""
        super().__init__(f"The Bundle holds {count} Patient resources and none was chosen.")
        self.count = count


class PatientNotFoundError(PatientSelectionError):
    """The chosen Patient is not in the Bundle."""

    code = "fhir.patient.not_found"
    default_remedy = "Check the logical id, or supply the Bundle that holds this Patient."


class FhirServerError(FhirError):
    """A FHIR server does not give what was asked for."""

    code = "fhir.server"
    default_remedy = "Check the address of the FHIR server and that it is running."


class ServerAddressError(FhirServerError):
    """The address of a server cannot be used."""

    code = "fhir.server.address"
    default_remedy = "Give the base address of the FHIR R4 server, such as https://ehr.example/fhir."


class ServerUnreachableError(FhirServerError):
    """No connection, or it broke, each time it was tried."""

    code = "fhir.server.unreachable"
    default_remedy = "Check the address, the network, the proxy and the certificate of the server, then try again."


class ServerCertificateError(FhirServerError):
    """The server's certificate is not one this machine trusts."""

    code = "fhir.server.certificate"
    default_remedy = "Set FRACTURE_CDS_FHIR_CA_FILE to the certificate authority of the server's owner (PEM)."


class ServerTimeoutError(FhirServerError):
    """The server did not answer in time."""

    code = "fhir.server.timeout"
    default_remedy = "Try again later, or allow more time with FRACTURE_CDS_FHIR_DEADLINE_SECONDS."


class ServerBusyError(FhirServerError):
    """The server asks to be left alone for now (429, 502, 503, 504)."""

    code = "fhir.server.busy"
    default_remedy = "Try again later."


class ServerFailureError(FhirServerError):
    """The server failed (any other 5xx)."""

    code = "fhir.server.failure"
    default_remedy = "Try again; if it stays, tell the operator of the server, whose log holds the cause."


class ServerRefusalError(FhirServerError):
    """The server does not accept the request (400, 405, 422 and the like)."""

    code = "fhir.server.refused"
    default_remedy = "Check that the address is the base of a FHIR R4 server and what its CapabilityStatement offers."


class UnauthorisedError(FhirServerError):
    """The server wants credentials, or does not accept those it was given (401)."""

    code = "fhir.server.unauthorised"
    default_remedy = "Give a valid token (--fhir-token-file), or a registered client id and key (--fhir-client-id)."


class ForbiddenError(FhirServerError):
    """The credentials do not reach this far (403)."""

    code = "fhir.server.forbidden"
    default_remedy = "Ask the operator of the server to grant read access (SMART scope system/<type>.rs)."


class NotOnServerError(FhirServerError):
    """The server has no such resource or service (404)."""

    code = "fhir.server.not_found"
    default_remedy = "Check the logical id of the Patient and the base address of the server."


class GoneFromServerError(FhirServerError):
    """The resource was deleted (410)."""

    code = "fhir.server.gone"
    default_remedy = "Check the logical id of the Patient; the record may have been merged into another."


class ServerOutcomeError(FhirServerError):
    """A success on the wire that holds an OperationOutcome of severity error or fatal."""

    code = "fhir.server.outcome"
    default_remedy = "Tell the operator of the server; its log says what it could not do."


class ServerContentError(FhirServerError):
    """The answer is no FHIR JSON, is cut short, or is something else than was asked for."""

    code = "fhir.server.content"
    default_remedy = "Check that the address is the base of a FHIR R4 server that speaks application/fhir+json."


class ServerAnswerTooLargeError(FhirServerError):
    """The answer exceeds the limit."""

    code = "fhir.server.too_large"
    default_remedy = "Raise FRACTURE_CDS_MAX_RECORD_MIB (FRACTURE_CDS_MAX_IMAGE_MIB for a radiograph)."


class ServerRedirectError(FhirServerError):
    """The server points to another host, to which credentials are not sent."""

    code = "fhir.server.redirect"
    default_remedy = "Give the address the server redirects to, if you trust it."


class PagingError(FhirServerError):
    """The pages of a search do not end, or lead to another host."""

    code = "fhir.server.paging"
    default_remedy = "Tell the operator of the server; its 'next' links are wrong, or the result is far too long."


class RecordIncompleteError(FhirServerError):
    """A part of the record without which an assessment would mislead could not be read.

    Attributes:
        types: The resource types that are missing.
    """

    code = "fhir.server.incomplete"
    default_remedy = (
        "Ask for read access to these types, or accept an incomplete record with --allow-incomplete; the report then"
        " says what is missing."
    )

    def __init__(self, types: tuple[str, ...], reason: str) -> None:
        """Name the types and why the first of them could not be read."""
        named = ", ".join(types)
        super().__init__(f"{named} could not be read, so the record would look healthier than it is. {reason}")
        self.types = types


class NotConfirmedError(FhirServerError):
    """The server says success, and not of every entry."""

    code = "fhir.server.not_confirmed"
    default_remedy = "Send the bundle again: what the server holds already is not stored twice."


class ExportError(FhirServerError):
    """A Bulk Data export does not come to its end."""

    code = "fhir.server.export"
    default_remedy = "Repeat the command; what has arrived is kept."


class ExportFailedError(ExportError):
    """The server gave up preparing the export."""

    code = "fhir.server.export.failed"
    default_remedy = "Repeat the command to ask for a new export; if it fails again, tell the operator of the server."


class ExportExpiredError(ExportError):
    """The server no longer has the export, or a file of it (404, 410)."""

    code = "fhir.server.export.expired"
    default_remedy = "Repeat the command to ask for a new export; a server keeps one for hours or days only."


class ExportDeadlineError(ExportError):
    """The export is not finished by the deadline."""

    code = "fhir.server.export.deadline"
    default_remedy = (
        "Repeat the command to go on waiting for the same export, or allow more time with"
        " FRACTURE_CDS_FHIR_EXPORT_HOURS."
    )


class ExportDamagedError(ExportError):
    """A file of the export is cut short, or holds fewer resources than the server promised, each time it is fetched."""

    code = "fhir.server.export.damaged"
    default_remedy = (
        "Repeat the command; if it stays, tell the operator of the server: screening it would leave out entries unseen."
    )


class ExportFolderError(ExportError):
    """The folder for the export holds something else."""

    code = "fhir.server.export.folder"
    default_remedy = "Give an empty folder, or start anew with --fresh."


class ClientAuthError(FhirError):
    """This program cannot prove to the server who it is."""

    code = "fhir.auth"
    default_remedy = "Check the client id and the key."


class ClientKeyError(ClientAuthError):
    """The private key cannot be used."""

    code = "fhir.auth.key"
    default_remedy = "Give an RSA key of 2048 bits or more, or a P-384 key, as PEM or JWK, readable by you alone."


class TokenFileError(ClientAuthError):
    """The file with the bearer token cannot be used."""

    code = "fhir.auth.token_file"
    default_remedy = "Give a file that holds the token alone, on one line."


class SmartDiscoveryError(ClientAuthError):
    """The server does not say where tokens are given out."""

    code = "fhir.auth.discovery"
    default_remedy = "Set FRACTURE_CDS_FHIR_TOKEN_URL to the token endpoint."


class TokenRefusedError(ClientAuthError):
    """The authorisation server gave no token."""

    code = "fhir.auth.token"
    default_remedy = "Check that client id and public key (cds fhir jwks) are registered there, and this clock."


class ServerImageError(FhirError):
    """A radiograph cannot be had from the server."""

    code = "fhir.image"
    default_remedy = "Give the radiograph as a file with --image."


class NoServerImageError(ServerImageError):
    """The server holds no radiograph of a limb of this patient."""

    code = "fhir.image.none"


class ServerImageFormatError(ServerImageError):
    """What the server gave for the radiograph is no image."""

    code = "fhir.image.format"


class HookPayloadError(FhirError):
    """A call of CDS Hooks is not as the specification has it."""

    code = "fhir.hooks.payload"
    default_remedy = "Send what CDS Hooks 2.0.1 describes for this hook; /cds-services lists the services."

"""All settings of the application, read once from ``FRACTURE_CDS_*`` environment variables.

Example: ``FRACTURE_CDS_PORT=9000 FRACTURE_CDS_RUNTIME=torch cds serve``. A list is written as JSON
(``FRACTURE_CDS_ALLOWED_HOSTS='["cds.hospital.example"]'``). An unset variable, and an empty one, means the default.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from cds.options import Runtime

MEBIBYTE = 1024 * 1024
OidcAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Asymmetric signatures of OpenID Connect tokens."""


def default_audit_log() -> Path:
    """``fracture-cds/audit.jsonl`` in the user's state folder (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "fracture-cds" / "audit.jsonl"


def default_data_dir() -> Path:
    """``fracture-cds`` in the user's data folder (XDG Base Directory Specification)."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "fracture-cds"


def _off_is_none(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "off" else value


class Settings(BaseSettings):
    """Frozen settings; every field can be set by ``FRACTURE_CDS_<FIELD NAME IN CAPITALS>``."""

    model_config = SettingsConfigDict(
        env_prefix="FRACTURE_CDS_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    detector_dir: Path | None = None
    """Folder of the fracture detector's weights and manifest; None means the ones shipped with the package."""
    risk_dir: Path | None = None
    """Folder of the risk models and their manifest; None means the ones shipped with the package."""
    risk_anchor: Path | None = None
    """JSON file of a population's mean fracture risk to move the probabilities to; see `tabular.anchoring`."""
    limb_fracture_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of limb radiographs with a fracture where the engine is used, such as 0.2; None: the published shares."""
    bone_age_dir: Path | None = None
    """Folder of the networks for skeletal age and their manifest; None means the ones shipped with the package."""
    healing_dir: Path | None = None
    """Folder of a model of this site's healing times (``cds train healing``); None means published figures alone."""
    follow_models: bool = True
    """Where no folder is named above: use the model that was promoted at this site (``cds learn promote``), and take a
    change up between two cases; off means the shipped models."""
    runtime: Runtime = Runtime.AUTO
    """What runs the network."""
    accurate: bool = False
    """Ask the shipped pair of detectors instead of the shipped detector: about twice the time. A detector of one's
    own, named or promoted, is shown every radiograph a second time, mirrored, and averaged: twice the time."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """CPU threads for one analysis; None lets the runtime decide."""

    max_image_mib: Annotated[int, Field(ge=1, le=2048)] = 128
    """Largest image file that is read, in MiB."""
    max_record_mib: Annotated[int, Field(ge=1, le=1024)] = 64
    """Largest patient record file that is read, in MiB (as given, compressed or not)."""

    fhir_server: str | None = None
    """Base address of the FHIR R4 server that records are read from, such as ``https://ehr.example/fhir``."""
    fhir_token: SecretStr | None = None
    """Bearer token for that server; from the environment only."""
    fhir_token_file: Path | None = None
    """File that holds the bearer token and that another program may keep fresh; wins over `fhir_token`."""
    fhir_client_id: str | None = None
    """Client id of SMART Backend Services; wins over a token, and needs `fhir_key_file`."""
    fhir_key_file: Path | None = None
    """Private key of that client: PEM or JWK, RSA (RS384) or P-384 (ES384)."""
    fhir_key_id: str | None = None
    """``kid`` under which the server knows the key; None means the one in the JWK, else the thumbprint (RFC 7638)."""
    fhir_scope: str | None = None
    """Scopes to ask for; None means read access to the types that are read."""
    fhir_token_url: str | None = None
    """Token endpoint; None means what the server's ``.well-known/smart-configuration`` says."""
    fhir_ca_file: Path | None = None
    """Certificate authority (PEM) that signs the certificates of the hospital's servers; None means the usual ones."""
    fhir_search_method: Literal["auto", "post", "get"] = "auto"
    """``post`` keeps identifiers out of the logs of servers; ``auto`` falls back to ``get`` where that is not known."""
    fhir_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Longest silence of a server, in seconds."""
    fhir_deadline_seconds: Annotated[float, Field(gt=0, le=3600)] = 90.0
    """Longest time for one request with all its retries, in seconds."""
    fhir_export_hours: Annotated[float, Field(gt=0, le=168)] = 6.0
    """Longest time for a Bulk Data export of a population, in hours; the same command goes on waiting afterwards."""
    fhir_export_max_gib: Annotated[float, Field(gt=0)] | None = None
    """Largest export that is accepted, all files together, in GiB; None means no limit."""
    dicomweb_url: str | None = None
    """Base address of the DICOMweb server, what ``/studies`` follows."""
    dicomweb_token: SecretStr | None = None
    """Bearer token for the DICOMweb server; without it the FHIR credentials are used if both are on one host."""

    host: str = "127.0.0.1"
    """Address the web service listens on. Beyond the loopback address, set `access_token` and encrypt in front."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """TCP port of the web service."""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    """Host names the web service answers to; ``*`` answers to every name (guards against DNS rebinding)."""
    access_token: SecretStr | None = None
    """When set, the form asks for it as a password and the API wants it as ``Authorization: Bearer``."""

    access_token_file: Path | None = None
    """File that holds the access token, which then need not stand in the environment."""
    oidc_issuer: str | None = None
    """OpenID Connect issuer (``iss``) whose bearer tokens are accepted; None: none are."""
    oidc_audience: str | None = None
    """What ``aud`` of such a token has to be."""
    oidc_keys: str | None = None
    """https address or file of that issuer's JWKS; a token never says where its own key is."""
    oidc_algorithms: tuple[OidcAlgorithm, ...] = ("RS256", "ES256", "ES384")
    """Signatures accepted from that issuer."""
    oidc_role_claim: str = "roles"
    """Claim with the roles of a person, dotted where it is nested, such as ``realm_access.roles``."""
    oidc_roles: dict[str, Literal["viewer", "clinician", "admin"]] = Field(default_factory=dict)
    """Value of that claim to role here; who has none of them is refused."""
    oidc_clock_skew_seconds: Annotated[int, Field(ge=0, le=300)] = 60
    """How far the issuer's clock may be off, in seconds."""
    oidc_client_id: str | None = None
    """Our client id with that issuer: the login page then offers to log in there (authorization code with PKCE)."""
    oidc_client_secret_file: Path | None = None
    """File with the secret of that client; None: a public client, which PKCE alone protects."""
    public_url: str | None = None
    """Address under which browsers see this service, such as ``https://cds.example``; None: the one they ask for."""
    smart_client_id: str | None = None
    """Client id under which EHRs launch the form (SMART App Launch) at ``/launch``; None: nobody can."""
    smart_issuers: tuple[str, ...] = ()
    """FHIR servers (``iss``) whose EHR may launch the form; any other is refused unasked."""
    smart_key_file: Path | None = None
    """Private key of that client (PEM or JWK, RS384 or ES384); None: a public client, which PKCE alone protects."""
    smart_scope: str | None = None
    """Scopes to ask for at a launch; None: the patient of the launch, read access to what is read."""
    session_hours: Annotated[float, Field(gt=0, le=168)] = 10.0
    """How long a browser stays logged in."""
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 1200
    """Requests that one user, and one address, may send in a minute; more are answered with 429."""
    tls_cert_file: Path | None = None
    """Certificate chain (PEM): the service then speaks https itself; None where a proxy in front does."""
    tls_key_file: Path | None = None
    """Private key (PEM) of that certificate."""
    audit_key_file: Path | None = None
    """File with the key that signs the heads of the audit trails; None: one beside each trail, made once."""

    own_read_first: bool = False
    """Whether the form starts with the clinician's own read, recorded before the machine's is shown; a switch there."""

    hooks_auth: Literal["jwt", "none"] = "jwt"
    """Whether CDS Hooks clients must show a signed token; ``none`` only while `host` is the loopback address."""
    hooks_clients: dict[str, str] = Field(default_factory=dict)
    """Trusted CDS Hooks clients: issuer (``iss``) to the https address of its keys (``jku``) or a file with them."""
    hooks_algorithms: tuple[Literal["ES384", "RS384", "ES256", "ES512", "RS512", "PS384"], ...] = ("ES384", "RS384")
    """Signatures accepted from CDS Hooks clients."""
    hooks_clock_skew_seconds: Annotated[int, Field(ge=0, le=300)] = 60
    """How far the clock of a CDS Hooks client may be off, in seconds."""
    hooks_base_url: str | None = None
    """Address under which CDS Hooks clients see this service, what ``/cds-services`` follows; None: as asked for."""
    hooks_origins: tuple[str, ...] = ("https://sandbox.cds-hooks.org",)
    """Web origins whose pages may call CDS Hooks from a browser (CORS); ``*`` allows every page."""
    hooks_fhir_servers: tuple[str, ...] = ()
    """Base addresses of FHIR servers that a CDS Hooks call may have read; any other ``fhirServer`` is not asked."""
    private_hosts: tuple[str, ...] = ()
    """Hosts of `hooks_fhir_servers`, `hooks_clients`, `smart_issuers` and `oidc_keys` whose names may lead into a
    private network."""
    hooks_fhir_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Longest time for reading from such a server, in seconds."""
    hooks_null_prefetch: Literal["empty", "missing"] = "empty"
    """What a prefetched null of a search means when no server can be asked: no data (the standard), or not known."""
    hooks_launch_url: str | None = None
    """SMART launch address of the form, for the link on a card; None: the form of this service."""
    hooks_app_context: str | None = None
    """``appContext`` that such a link carries; None: none."""
    hooks_max_request_mib: Annotated[int, Field(ge=1, le=512)] = 16
    """Largest CDS Hooks request, in MiB."""
    hooks_feedback_log: Path | None = None
    """JSON-lines file for cards and what became of them where there is no store, which keeps them otherwise; with the
    store off and no file named here, nothing is kept."""

    audit_log: Annotated[Path | None, BeforeValidator(_off_is_none)] = Field(default_factory=default_audit_log)
    """JSON-lines file that every assessment is recorded in, without patient data; ``off`` keeps no record."""
    data_dir: Path = Field(default_factory=default_data_dir)
    """Folder of what a service keeps: its SQLite file, and images, records and reports by content."""
    database_url: SecretStr | None = None
    """Database of the store, such as ``postgresql://cds@db.example/cds``; None means a SQLite file in `data_dir`."""
    database_password_file: Path | None = None
    """File with the password of the database, which then need not stand in its address."""
    pacs_aet: Annotated[str, Field(pattern=r"^[\x21-\x5b\x5d-\x7e][\x20-\x5b\x5d-\x7e]{0,15}$")] = "FRACTURE-CDS"
    """Our Application Entity title, both when a PACS calls and when we call it."""
    pacs_peer: str | None = None
    """PACS that the form sends a signed report to by C-STORE, as ``host:port:AET``; None: `dicomweb_url` by STOW-RS."""
    pacs_allow: tuple[str, ...] = ()
    """Who may send to ``cds pacs listen``: ``AET``, ``AET@address`` or ``*@10.1.0.0/16``; empty: the own host only."""
    pacs_queue_capacity: Annotated[int, Field(ge=1)] = 10_000
    """Radiographs and results that may wait at a time; beyond it the sender is told to come back (A700)."""
    pacs_min_free_mib: Annotated[int, Field(ge=0)] = 512
    """Free space, in MiB, below which the disk of `data_dir` counts as full and nothing more is accepted."""
    pacs_lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """How long after its worker died a radiograph or a result is taken up again, in seconds."""
    pacs_give_up_hours: Annotated[float, Field(gt=0, le=8760)] = 72.0
    """How long a result that the PACS does not take is tried again, in hours; then ``cds pacs retry`` has to say so."""
    pacs_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Longest silence of a PACS, in seconds."""
    pacs_unstated: Literal["assess", "skip"] = "assess"
    """What the listener does with a radiograph that does not say which part of the body it shows."""
    pacs_tls_cert: Path | None = None
    """Our certificate (PEM) for DICOM over TLS; with `pacs_tls_key` the listener speaks TLS only."""
    pacs_tls_key: Path | None = None
    """Its private key (PEM, without a passphrase)."""
    pacs_tls_ca: Path | None = None
    """Certificate authority (PEM) that a peer's certificate must come from; callers then need one, too."""
    store: Literal["on", "off"] = "on"
    """Whether ``cds serve`` keeps cases; ``off`` keeps nothing, and there is no history and no feedback."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes of ``cds serve`` that work on jobs, each with models of its own; 0 leaves jobs to another service."""
    assess_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    """Assessments that run at the same time inside the web process; the others wait."""
    queue_limit: Annotated[int, Field(ge=1, le=100_000)] = 64
    """How many direct assessments, and as many jobs again, may wait or run; more are answered with 429."""
    worker_max_jobs: Annotated[int, Field(ge=1)] = 1000
    """A worker ends and is replaced after so many jobs."""
    worker_max_rss_mib: Annotated[int, Field(ge=256)] = 6144
    """A worker with more memory ends after its job, with half as much again at once; it is replaced, in MiB."""
    worker_lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """A job whose worker was silent for so long is taken over by another one."""
    worker_job_seconds: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """A job that takes longer ends its worker; like one that took too much memory it is tried once more."""
    shutdown_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    """How long a stop waits for what runs; a job that takes longer is given back to the queue."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """Least severe message that is written to standard error."""

    @property
    def max_image_bytes(self) -> int:
        """`max_image_mib` in bytes."""
        return self.max_image_mib * MEBIBYTE

    @property
    def hooks_max_request_bytes(self) -> int:
        """`hooks_max_request_mib` in bytes."""
        return self.hooks_max_request_mib * MEBIBYTE

    @property
    def hooks_feedback_path(self) -> Path:
        """`hooks_feedback_log`, or its place in `data_dir`."""
        return self.hooks_feedback_log or self.data_dir / "hooks-feedback.jsonl"

    @property
    def max_record_bytes(self) -> int:
        """`max_record_mib` in bytes."""
        return self.max_record_mib * MEBIBYTE

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


def default_audit_log() -> Path:
    """``fracture-cds/audit.jsonl`` in the user's state folder (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "fracture-cds" / "audit.jsonl"


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
    runtime: Runtime = Runtime.AUTO
    """What runs the network."""
    accurate: bool = False
    """Show the network every radiograph a second time, mirrored, and average: twice the time."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """CPU threads for one analysis; None lets the runtime decide."""

    max_image_mib: Annotated[int, Field(ge=1, le=2048)] = 128
    """Largest image file that is read, in MiB."""
    max_record_mib: Annotated[int, Field(ge=1, le=1024)] = 64
    """Largest patient record file that is read, in MiB (as given, compressed or not)."""

    host: str = "127.0.0.1"
    """Address the web service listens on. Beyond the loopback address, set `access_token` and encrypt in front."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """TCP port of the web service."""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    """Host names the web service answers to; ``*`` answers to every name (guards against DNS rebinding)."""
    access_token: SecretStr | None = None
    """When set, the form asks for it as a password and the API wants it as ``Authorization: Bearer``."""

    audit_log: Annotated[Path | None, BeforeValidator(_off_is_none)] = Field(default_factory=default_audit_log)
    """JSON-lines file that every assessment is recorded in, without patient data; ``off`` keeps no record."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """Least severe message that is written to standard error."""

    @property
    def max_image_bytes(self) -> int:
        """`max_image_mib` in bytes."""
        return self.max_image_mib * MEBIBYTE

    @property
    def max_record_bytes(self) -> int:
        """`max_record_mib` in bytes."""
        return self.max_record_mib * MEBIBYTE

"""What determines a screening of radiographs.

Like `cds.batch.plan`: the same list, records, time, models and settings give the same plan, and only that plan goes on
with an unfinished run. The radiographs themselves are not looked at before their turn; each row tells its digest.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from cds.batch.worklist import unused_columns
from cds.bootstrap import load_settings
from cds.errors import InputError, ResumeRefusedError
from cds.settings import Settings

SCHEMA_VERSION = 1
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSettings:
    """The settings that reach a case; no secret is among them, since they travel to workers."""

    detector_dir: str | None
    risk_dir: str | None
    risk_anchor: str | None
    bone_age_dir: str | None
    runtime: str
    accurate: bool
    max_image_mib: int
    max_record_mib: int
    audit_log: str | None

    @classmethod
    def of(cls, settings: Settings) -> "CaseSettings":
        """Pick them."""
        return cls(
            detector_dir=_text(settings.detector_dir),
            risk_dir=_text(settings.risk_dir),
            risk_anchor=_text(settings.risk_anchor),
            bone_age_dir=_text(settings.bone_age_dir),
            runtime=settings.runtime.value,
            accurate=settings.accurate,
            max_image_mib=settings.max_image_mib,
            max_record_mib=settings.max_record_mib,
            audit_log=_text(settings.audit_log),
        )

    def settings(self) -> Settings:
        """Settings for a worker: one thread each, and the models of the plan to the end."""
        return load_settings(threads=1, follow_models=False, **asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """Everything that determines the result."""

    root: str
    """The work list."""
    list_sha256: str
    bundles: str | None
    """Folder or file of Bundles that Patient ids are looked up in."""
    bundles_sha256: str
    """Of the names, sizes and times of these files."""
    unused_columns: tuple[str, ...]
    as_of: datetime
    detector_id: str
    risk_model_id: str
    evidence_version: str
    engine_version: str
    settings: CaseSettings
    reports: str | None
    actor: str

    def to_bytes(self) -> bytes:
        """The plan as JSON, always the same for the same plan."""
        told = {"schema": SCHEMA_VERSION, **asdict(self)}
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)

    @property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits that name list, records, time, models and version; places are left out."""
        names = (
            "list_sha256",
            "bundles_sha256",
            "as_of",
            "detector_id",
            "risk_model_id",
            "evidence_version",
            "engine_version",
        )
        told = {name: getattr(self, name) for name in names}
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


_WORDS = {
    "root": "another work list",
    "list_sha256": "a changed work list",
    "bundles": "another --input",
    "bundles_sha256": "changed Bundles",
    "as_of": "another --as-of",
    "detector_id": "another detector",
    "risk_model_id": "another risk model",
    "evidence_version": "another evidence base",
    "engine_version": "another version of this software",
    "schema": "another version of this software",
    "settings": "other settings",
    "reports": "another --export-reports",
}


def refuse_changed(before: bytes, plan: ImagePlan) -> None:
    """Compare the plan of an unfinished run with the one asked for now.

    Raises:
        ResumeRefusedError: They differ; the message says in what.
    """
    old: dict[str, Any] = orjson.loads(before)
    new: dict[str, Any] = orjson.loads(plan.to_bytes())
    for told in (old, new):
        told.get("settings", {}).pop("audit_log", None)  # where a case is recorded changes no row
    changed = sorted({words for name, words in _WORDS.items() if old.get(name) != new.get(name)})
    if changed:
        raise ResumeRefusedError(
            f"An unfinished run lies beside the output, and this one differs from it: {', '.join(changed)}.",
            remedy="Start anew with --fresh, or repeat the command exactly as it was to go on.",
        )


def make_plan(
    worklist: Path,
    bundles: Path | None,
    *,
    settings: Settings,
    as_of: datetime,
    engine_version: str,
    reports: Path | None,
    actor: str,
) -> ImagePlan:
    """Look at the list and name the models.

    Raises:
        InputError: The list cannot be opened, or --input holds no Bundles.
        ScreeningInputError: The list is damaged.
        ImagingError: The detector's manifest is broken.
        TabularError: The risk model is broken.
        FusionError: The evidence base is broken.
    """
    from cds.bootstrap import load_risk_engine
    from fusion.evidence_base import EvidenceBase
    from imaging.manifest import read_manifest

    unused = unused_columns(worklist)
    return ImagePlan(
        root=str(worklist.absolute()),
        list_sha256=_digest(worklist),
        bundles=_text(None if bundles is None else bundles.absolute()),
        bundles_sha256=_listing_digest(bundles),
        unused_columns=unused,
        as_of=as_of,
        detector_id=read_manifest(settings.detector_dir).model_id,
        risk_model_id=load_risk_engine(settings.risk_dir, settings.risk_anchor).model_id,
        evidence_version=EvidenceBase.load().version,
        engine_version=engine_version,
        settings=CaseSettings.of(settings),
        reports=_text(None if reports is None else reports.absolute()),
        actor=actor,
    )


def bundle_files(bundles: Path) -> list[Path]:
    """The Bundles of a folder, in order, or the one file."""
    if bundles.is_file():
        return [bundles]
    found = (path for path in bundles.rglob("*") if path.name.lower().endswith((".json", ".json.gz")))
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _listing_digest(bundles: Path | None) -> str:
    if bundles is None:
        return ""
    files = bundle_files(bundles)
    if not files:
        raise InputError("--input holds no Bundles.", remedy="Give a folder of FHIR R4 Bundles (.json, .json.gz).")
    told = [(str(path.relative_to(bundles)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(orjson.dumps(told)).hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)

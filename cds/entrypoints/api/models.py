"""``GET /api/models``: what answers rest on, as their manifests say."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter

from cds.entrypoints.api.routes import ProblemRoute, problems
from cds.entrypoints.api.schemas import ModelOut, ModelsOut
from cds.errors import error_code
from cds.learning.models import with_current_models
from cds.settings import Settings
from cds.version import engine_version
from fusion.errors import FusionError
from imaging.errors import ImagingError
from tabular.errors import TabularError

EVIDENCE_USE: Final = "Published figures and recommendations that the rules of the report cite, each with its source."
MISSING: Final = "Not installed, or it cannot be used."


def models_router(settings: Settings) -> APIRouter:
    """The route.

    Args:
        settings: where the models lie.
    """
    router = APIRouter(route_class=ProblemRoute, tags=["models"])
    known: dict[tuple[str, Path | None], ModelOut] = {}  # a folder's model does not change; broken ones are asked again

    @router.get(
        "/api/models",
        summary="The models and the evidence base",
        responses=problems(),
    )
    def models() -> ModelsOut:
        now = with_current_models(settings)
        return ModelsOut(engine_version=engine_version(), models=list(described(now, known)))

    return router


def described(settings: Settings, known: dict[tuple[str, Path | None], ModelOut]) -> Iterator[ModelOut]:
    """Each part that answers rest on; one that is broken is listed as not available.

    Args:
        settings: where the models lie.
        known: what was read before; what is read now is added.
    """
    parts: tuple[tuple[str, Path | None, Callable[[Settings], ModelOut]], ...] = (
        ("detector", settings.detector_dir, _detector),
        ("risk", settings.risk_dir, _risk),
        ("bone_age", settings.bone_age_dir, _bone_age),
        ("evidence", None, _evidence),
    )
    for role, folder, describe in parts:
        try:
            if (role, folder) not in known:
                known[role, folder] = describe(settings)
            yield known[role, folder]
        except (ImagingError, TabularError, FusionError) as error:
            yield _missing(role, error_code(error))


def _missing(role: str, code: str) -> ModelOut:
    return ModelOut(
        role=role,
        id=None,
        name=None,
        version=None,
        digest=None,
        intended_use=f"{MISSING} ({code})",
        validation=None,
        available=False,
    )


def _detector(settings: Settings) -> ModelOut:
    from imaging.manifest import read_manifest

    manifest = read_manifest(settings.detector_dir)
    files = manifest.digest  # of one file its SHA-256; of several theirs in a row, for which one of that row stands
    digest = files if len(manifest.parts) == 1 else hashlib.sha256(files.encode()).hexdigest()
    return _from_manifest("detector", manifest.model_id, digest, manifest.document)


def _bone_age(settings: Settings) -> ModelOut:
    from imaging.bone_age.manifest import read_manifest

    manifest = read_manifest(settings.bone_age_dir)
    return _from_manifest("bone_age", manifest.model_id, manifest.sha256, manifest.document)


def _risk(settings: Settings) -> ModelOut:
    from tabular.model import DEFAULT_DIRECTORY, load_model

    model = load_model(settings.risk_dir or DEFAULT_DIRECTORY)
    files = "".join(f"{name}:{digest};" for name, digest in sorted(model.manifest["files"].items()))
    return _from_manifest("risk", model.model_id, hashlib.sha256(files.encode()).hexdigest(), model.manifest)


def _evidence(settings: Settings) -> ModelOut:
    from fusion.evidence_base import EvidenceBase

    base = EvidenceBase.load()
    name, _, version = base.version.partition("@")
    return ModelOut(
        role="evidence",
        id=base.version,
        name=name,
        version=version.partition("+")[0],
        digest=base.digest,
        intended_use=EVIDENCE_USE,
        validation=None,
        available=True,
    )


def _from_manifest(role: str, model_id: str, digest: str, document: Mapping[str, Any]) -> ModelOut:
    return ModelOut(
        role=role,
        id=model_id,
        name=document["name"],
        version=document["version"],
        digest=digest,
        intended_use=document["intended_use"],
        validation=document.get("validation"),
        available=True,
    )

"""The only place that constructs models, readers and the audit trail.

Each model is built on its first use and kept: a case without an image never loads the network or its runtime, and a
service that starts answers its health checks while the models load. Where the settings name no folder, the site's
choice of model is followed from case to case (`cds.following`).
"""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ValidationError

from cds.audit import AuditTrail, JsonLinesAuditTrail, NoAuditTrail
from cds.bone_age import BoneAgeReader
from cds.errors import ModelStoreError, SettingsError
from cds.following import Following, ModelWatch
from cds.learning.model_kinds import ModelKind
from cds.learning.models import chosen_folder, model_store
from cds.options import Runtime
from cds.pipeline import Assessor, Engines, ImageEngine, ImageExplainer, RiskModel
from cds.settings import Settings
from fhir_adapters.patient import PatientSnapshot
from fusion.context import ClinicalContext
from fusion.results import Assessment
from imaging.errors import ModelFilesError
from imaging.explanation.results import Explanation
from imaging.radiograph import Radiograph
from imaging.results import BoneAgeEstimate, ImageFindings
from tabular.features import RiskFeatures
from tabular.results import RiskEstimate

if TYPE_CHECKING:  # at run time it would load xgboost
    import numpy as np
    from numpy.typing import NDArray

    from cds.store.opening import Store
    from tabular.engine import RiskEngine

T = TypeVar("T")


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        **overrides: fields that the command line sets; they win over the environment.

    Raises:
        SettingsError: a variable has an invalid value; the value itself is not repeated, it may be a secret.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        names = sorted({f"FRACTURE_CDS_{str(item['loc'][0]).upper()}" for item in error.errors(include_input=False)})
        reasons = "; ".join(sorted({item["msg"] for item in error.errors(include_input=False)}))
        raise SettingsError(
            f"Invalid value in {', '.join(names)}: {reasons}.", remedy="Correct or unset the variable."
        ) from None


def for_one_case(settings: Settings) -> Settings:
    """The settings for a process that assesses one case and ends.

    ``auto`` then means torch: OpenVINO runs the network faster, but takes longer to compile it than one image can win
    back. Both give the same boxes up to rounding.
    """
    return settings.model_copy(update={"runtime": Runtime.TORCH}) if settings.runtime is Runtime.AUTO else settings


def build_engines(settings: Settings) -> Engines:
    """Wire the real engines; nothing heavy is imported or loaded before it is used."""
    store, watch = model_store(settings), ModelWatch()

    def following(kind: ModelKind, load: Callable[[Settings, Path | None], T]) -> Following[T]:
        def whole(folder: Path | None) -> T:
            part = load(settings, folder)
            store.check_kept(kind, folder)
            return part

        return Following(kind, partial(chosen_folder, kind, settings, store), whole, watch)

    image = _LazyImageEngine(following(ModelKind.DETECTOR, load_image_engine))
    return Engines(
        read_image=_read_image,
        image=image,
        read_record=_read_record,
        risk=_LazyRiskModel(following(ModelKind.RISK, _load_risk_model)),
        fusion=_LazyAssessor(following(ModelKind.HEALING, _load_assessor)),
        explain=_LazyExplainer(image),
        bone_age=_LazyBoneAge(following(ModelKind.BONE_AGE, _load_bone_age)),
        models=watch,
    )


def build_audit_trail(settings: Settings, store: "Store | None" = None) -> AuditTrail:
    """The audit trail that the settings ask for.

    Args:
        settings: the JSON-lines file and the key of its head.
        store: keeps the chain of AuditEvents beside the lines, also where these are switched off; None: no chain.
    """
    log = settings.audit_log
    lines = NoAuditTrail() if log is None else JsonLinesAuditTrail(log, key_path=settings.audit_key_file)
    if store is None:
        return lines
    from cds.audit_chain import StoreAuditTrail, open_chain

    return StoreAuditTrail(open_chain(settings, store.database, store.privacy), lines)


def warm_up(engines: Engines) -> None:
    """Load every model now, so that the first case does not wait and a broken model shows at once.

    Raises:
        ImagingError: the detector cannot be loaded.
        TabularError: the risk model cannot be loaded.
        FusionError: the evidence base cannot be loaded.
    """
    for part in (engines.fusion, engines.risk, engines.image):
        if isinstance(part, _Lazy):
            part.get()


class _Lazy(Generic[T]):
    """A part that is built on its first use, and anew where the site chose another model."""

    def __init__(self, following: Following[T]) -> None:
        self._following = following

    def get(self) -> T:
        return self._following.get()


class _LazyImageEngine(_Lazy[ImageEngine]):
    def __init__(self, following: Following[ImageEngine]) -> None:
        super().__init__(following)
        self._one_at_a_time = threading.Lock()
        self._answered: dict[str, Path | None] = {}

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        folder, engine = self._following.now()
        # One analysis uses all the threads it is given, and an OpenVINO request must not be entered twice.
        with self._one_at_a_time:
            findings = engine.analyse(radiograph)
        self._answered[findings.model_id] = folder
        return findings

    def folder_of(self, findings: ImageFindings) -> Path | None:
        """The folder of the model that made the findings; None for the shipped one."""
        return self._answered[findings.model_id] if findings.model_id in self._answered else self._following.now()[0]


class _LazyExplainer:
    """Explains with the model that made the findings, also when another one was promoted in between."""

    def __init__(self, image: _LazyImageEngine) -> None:
        self._image = image
        self._one_at_a_time = threading.Lock()
        self._loaded: tuple[Path | None, ImageExplainer] | None = None

    def explain_findings(self, radiograph: Radiograph, findings: ImageFindings) -> tuple[Explanation, ...]:
        if not findings.detections:
            return ()
        folder = self._image.folder_of(findings)
        with self._one_at_a_time:  # gradients of several cases at once would want several times the memory
            if self._loaded is None or self._loaded[0] != folder:
                self._loaded = folder, load_explainer(folder)
            return self._loaded[1].explain_findings(radiograph, findings)


class _LazyBoneAge(_Lazy[BoneAgeReader]):
    def estimate(self, pixels: "NDArray[np.float32]", female: bool | None) -> BoneAgeEstimate:
        try:
            reader = self.get()
        except ModelStoreError as error:  # skeletal age is extra: the case goes on without it
            raise ModelFilesError(str(error), remedy=error.remedy) from error
        return reader.estimate(pixels, female)


class _LazyRiskModel(_Lazy[RiskModel]):
    def estimate(self, features: RiskFeatures) -> RiskEstimate:
        return self.get().estimate(features)


class _LazyAssessor(_Lazy[Assessor]):
    def assess(
        self,
        *,
        findings: ImageFindings | None,
        patient: PatientSnapshot | None,
        risk: RiskEstimate | None,
        context: ClinicalContext,
        as_of: datetime,
        bone_age: BoneAgeEstimate | None = None,
    ) -> Assessment:
        return self.get().assess(
            findings=findings, patient=patient, risk=risk, context=context, as_of=as_of, bone_age=bone_age
        )


def _read_image(source: bytes, *, frame: int = 1) -> Radiograph:
    from imaging.reader import read_radiograph

    return read_radiograph(source, frame=frame)


def _read_record(data: bytes, *, as_of: datetime, patient_id: str | None = None) -> PatientSnapshot:
    from fhir_adapters.reader import read_bundle

    return read_bundle(data, as_of=as_of, patient_id=patient_id)


def load_image_engine(settings: Settings, folder: Path | None) -> ImageEngine:
    """The detector of a folder, or the shipped one, as the settings run it.

    Raises:
        ImagingError: it cannot be loaded.
    """
    from imaging.engine import FractureEngine
    from imaging.manifest import read_manifest

    return FractureEngine.load(
        folder,
        runtime=settings.runtime.value,
        threads=settings.threads,
        flip_average=settings.accurate and read_manifest(folder).companion is None,
    )


def load_explainer(folder: Path | None) -> ImageExplainer:
    """The explainer of a detector's folder, or of the shipped one.

    Raises:
        ImagingError: it cannot be loaded.
    """
    from imaging.explanation.explainer import Explainer

    return Explainer.load(folder)


def _load_bone_age(settings: Settings, folder: Path | None) -> BoneAgeReader:
    from imaging.bone_age.engine import BoneAgeEngine

    return BoneAgeEngine.load(folder, threads=settings.threads)


def load_risk_engine(risk_dir: Path | None, anchor: Path | None = None) -> "RiskEngine":
    """The risk model of a folder, or the shipped one, with all it offers beyond `cds.pipeline.RiskModel`.

    Raises:
        TabularError: the model cannot be loaded.
    """
    from tabular.engine import RiskEngine

    return RiskEngine.load(risk_dir, anchor=anchor)


def _load_risk_model(settings: Settings, folder: Path | None) -> RiskModel:
    return load_risk_engine(folder, settings.risk_anchor)


def _load_assessor(settings: Settings, folder: Path | None) -> Assessor:
    from fusion.engine import FusionEngine

    engine = FusionEngine.load(local_share=settings.limb_fracture_share)
    if folder is None:
        return engine
    from cds.healing_outcomes import LearnedAssessor
    from tabular.healing.engine import HealingModel

    return LearnedAssessor(engine, HealingModel.load(folder))

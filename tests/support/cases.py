"""Example cases for tests of presenters: invented people, a drawn radiograph, statements with citations.

The texts stand in for the engine's own words; nothing here is used outside the tests.
"""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from cds.case import CaseResult
from fhir_adapters.patient import (
    ConditionEntry,
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    MedicationEntry,
    PatientSnapshot,
    PriorFracture,
    Sex,
    SmokingStatus,
    Sourced,
)
from fusion.context import ClinicalContext, FractureType, Mechanism
from fusion.results import (
    Advice,
    AdviceAction,
    Assessment,
    Certainty,
    FollowUp,
    HealingEstimate,
    HealingFactor,
    RedFlag,
    Severity,
    SeverityAssessment,
    SourceReference,
    Statement,
    Urgency,
)
from fusion.sites import FractureSite
from imaging.explanation.results import Explanation, HeatMap, MapMethod, MapTarget
from imaging.labels import BodyRegion, FracturePattern, LimbGroup, View
from imaging.radiograph import DicomReference, Radiograph
from imaging.results import (
    BoxPx,
    FractureCall,
    FractureDetection,
    FractureGeometry,
    ImageAttributes,
    ImageFindings,
    Measurement,
    OperatingPoint,
    PatternEstimate,
    PixelSpacing,
    PointPx,
    SpacingOrigin,
)
from tabular.features import RiskFeatures
from tabular.results import Contribution, FractureProbability, RelativeRisk, RiskEstimate

WIDTH_PX = 240
HEIGHT_PX = 320
CREATED = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
CASE_ID = "0b0f6d2e-5a55-4f0e-9a53-0d6c3b1f7a11"
_SHA256 = "4f" * 32
_IMAGE_MODEL = "yolov7-tiny-fracatlas@1.0.0+ab12cd34"
_RISK_MODEL = "fracture-risk-nhanes@1.0.0+ef56ab78"


def drawn_pixels() -> NDArray[np.float32]:
    """Two bright shafts on a dark ground with a dark oblique line across one, [320, 240], 0..1."""
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    image = np.full((HEIGHT_PX, WIDTH_PX), 0.08, dtype=np.float32)
    image += 0.18 * np.exp(-(((columns - 120) / 70) ** 2))
    for centre, half_width in ((95.0, 16.0), (150.0, 11.0)):
        profile = np.clip(1 - np.abs(columns - centre) / half_width, 0, 1)
        image += 0.6 * np.sqrt(profile)
    line = np.abs(rows - 210 - 0.35 * (columns - 95)) < 2
    image[line & (np.abs(columns - 95) < 17)] *= 0.35
    return np.clip(image, 0, 1)


def _say(
    rule: str,
    text: str,
    certainty: Certainty = Certainty.VERIFIED,
    evidence: tuple[str, ...] = (),
    record: tuple[str, ...] = (),
) -> Statement:
    return Statement(id=rule, text=text, certainty=certainty, evidence=evidence, record=record)


def radiograph() -> Radiograph:
    """A drawn DICOM radiograph of a left wrist with detector spacing."""
    return Radiograph(
        pixels=drawn_pixels(),
        sha256=_SHA256,
        source_format="dicom",
        spacing=_detector_spacing(),
        region=BodyRegion.WRIST,
        laterality="L",
        dicom=DicomReference(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
            sop_instance_uid="2.25.311",
            series_instance_uid="2.25.31",
            study_instance_uid="2.25.3",
            frame=1,
        ),
        warnings=("imaging.spacing.detector_plane",),
    )


def _detector_spacing() -> PixelSpacing:
    return PixelSpacing(row_mm=0.4, column_mm=0.4, origin=SpacingOrigin.DETECTOR)


def operating_points() -> tuple[OperatingPoint, ...]:
    """Invented thresholds with invented measured values."""
    return (
        OperatingPoint(
            name="high_sensitivity",
            threshold=0.21,
            sensitivity=0.914,
            specificity=0.802,
            sensitivity_low=0.871,
            specificity_low=0.775,
        ),
        OperatingPoint(name="high_specificity", threshold=0.55, sensitivity=0.731, specificity=0.958),
    )


def pattern() -> PatternEstimate:
    """Oblique, displaced."""
    return PatternEstimate(
        pattern=FracturePattern.OBLIQUE,
        probabilities=(
            (FracturePattern.OBLIQUE, 0.62),
            (FracturePattern.TRANSVERSE, 0.21),
            (FracturePattern.SPIRAL, 0.12),
            (FracturePattern.COMMINUTED, 0.05),
        ),
        displaced_probability=0.71,
    )


def geometry() -> FractureGeometry:
    """Measured in pixels and degrees; no millimetres, since the spacing is that of the detector."""
    return FractureGeometry(
        line_length_px=Measurement(value=38.0, low=33.0, high=44.0),
        shaft_width_px=Measurement(value=32.0, low=30.0, high=34.0),
        displacement_px=Measurement(value=6.4, low=4.8, high=8.1),
        displacement_percent=Measurement(value=20.0, low=15.0, high=25.0),
        angulation_deg=Measurement(value=12.0, low=8.0, high=16.0),
        not_measured=(
            ("millimetres", "imaging.spacing.detector_plane"),
            ("shortening", "example.geometry.not_measurable"),
        ),
    )


def attributes() -> ImageAttributes:
    """A forearm, frontal and lateral, without metal."""
    return ImageAttributes(
        model_id="attributes@1.0.0+01234567",
        limb=((LimbGroup.HAND_ARM, 0.97), (LimbGroup.LEG_FOOT, 0.02), (LimbGroup.SHOULDER, 0.01)),
        views=((View.FRONTAL, 0.95), (View.LATERAL, 0.58), (View.OBLIQUE, 0.04)),
        hardware_probability=0.03,
    )


def explanation() -> Explanation:
    """One Grad-CAM with its peak in the first box, one empty map of the pattern."""
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    heat = np.exp(-(((columns - 95.0) / 20.0) ** 2) - ((rows - 210.0) / 20.0) ** 2).astype(np.float32)
    return Explanation(
        detection=0,
        maps=(
            HeatMap(
                method=MapMethod.GRAD_CAM,
                target=MapTarget.DETECTION,
                heat=heat,
                peak=PointPx(x=95.5, y=210.5),
                share_in_box=0.68,
            ),
            HeatMap(
                method=MapMethod.GRAD_CAM,
                target=MapTarget.PATTERN,
                heat=np.zeros_like(heat),
                peak=None,
                share_in_box=None,
            ),
        ),
    )


def findings() -> ImageFindings:
    """One definite place with pattern and geometry, one suspected place without, millimetres at the detector."""
    return ImageFindings(
        model_id=_IMAGE_MODEL,
        model_validation="Image-level AUC 0.94 (95% interval 0.92 to 0.96) on 712 radiographs of one hospital group.",
        image_sha256=_SHA256,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        call=FractureCall.DEFINITE,
        max_score=0.87,
        fracture_probability=Measurement(value=0.93, low=0.88, high=0.96),
        calibration_prevalence=0.18,
        scope_score=0.41,
        attributes=attributes(),
        detections=(
            FractureDetection(
                box=BoxPx(x1=72.0, y1=192.0, x2=118.5, y2=229.0),
                score=0.87,
                call=FractureCall.DEFINITE,
                label="fracture",
                box_width_mm=18.6,
                box_height_mm=14.8,
                pattern=pattern(),
                geometry=geometry(),
            ),
            FractureDetection(
                box=BoxPx(x1=136.0, y1=60.0, x2=165.0, y2=92.0),
                score=0.31,
                call=FractureCall.SUSPECTED,
                label="fracture",
                box_width_mm=11.6,
                box_height_mm=12.8,
            ),
        ),
        operating_points=operating_points(),
        spacing=_detector_spacing(),
        region=BodyRegion.WRIST,
        region_source="dicom",
        laterality="L",
        warnings=("imaging.spacing.detector_plane",),
    )


def patient() -> PatientSnapshot:
    """A woman of 72 with diabetes, osteoporosis and low vitamin D; some values are not in her record."""
    measured = datetime(2026, 2, 11, 8, 15, tzinfo=UTC)
    return PatientSnapshot(
        patient_id="example-72f",
        as_of=CREATED,
        birth_date=date(1953, 6, 1),
        age_years=72,
        sex=Sex.FEMALE,
        weight_kg=Sourced(value=58.0, resource="Observation/weight-1", effective=measured),
        height_cm=Sourced(value=161.0, resource="Observation/height-1", effective=measured),
        bmi_kg_m2=Sourced(
            value=22.4,
            resource="Observation/weight-1",
            effective=measured,
            derived_from=("Observation/weight-1", "Observation/height-1"),
        ),
        smoking=Sourced(value=SmokingStatus.CURRENT, resource="Observation/smoking-1", effective=measured),
        osteoporosis=Sourced(value=True, resource="Condition/osteoporosis-1"),
        diabetes=Sourced(value=DiabetesType.TYPE_2, resource="Condition/diabetes-1"),
        prior_fractures=(
            PriorFracture(
                site=FractureSiteGroup.HUMERUS,
                code="http://snomed.info/sct|66308002",
                resource="Condition/fracture-1",
                onset=datetime(2019, 11, 3, tzinfo=UTC),
            ),
        ),
        conditions=(
            ConditionEntry(
                kind=ConditionKind.KIDNEY_STONES,
                code="http://hl7.org/fhir/sid/icd-10-cm|N20.0",
                resource="Condition/stones-1",
                active=False,
            ),
        ),
        medications=(
            MedicationEntry(
                drug_class=DrugClass.LEVOTHYROXINE,
                code="http://www.nlm.nih.gov/research/umls/rxnorm|10582",
                resource="MedicationRequest/levothyroxine-1",
            ),
            MedicationEntry(
                drug_class=DrugClass.NSAID,
                code="http://www.nlm.nih.gov/research/umls/rxnorm|5640",
                resource="MedicationRequest/ibuprofen-1",
            ),
        ),
        t_score_femoral_neck=Sourced(value=-2.7, resource="Observation/dxa-1", effective=measured),
        vitamin_d_nmol_l=Sourced(value=31.0, resource="Observation/vitd-1", effective=measured),
        egfr_ml_min_1_73m2=Sourced(value=60.0, resource="Observation/egfr-1", effective=measured, comparator=">="),
        hba1c_percent=Sourced(value=7.4, resource="Observation/hba1c-1", effective=measured),
        warnings=("fhir.unit.unknown:Observation/calcium-1",),
    )


def features() -> RiskFeatures:
    """The row the example risk was computed from."""
    return RiskFeatures(
        age_years=72.0,
        female=True,
        bmi_kg_m2=22.4,
        weight_kg=58.0,
        height_cm=161.0,
        prior_fragility_fracture=True,
        current_smoker=True,
        diabetes_type_2=True,
        osteoporosis_diagnosed=True,
        femoral_neck_t_score=-2.7,
        vitamin_d_nmol_l=31.0,
        hba1c_percent=7.4,
    )


def _contributions(scale: float) -> tuple[Contribution, ...]:
    return (
        Contribution(feature="age_years", label="Age", value=72.0, log_odds=0.80 * scale),
        Contribution(feature="femoral_neck_t_score", label="Femoral neck T-score", value=-2.7, log_odds=0.55 * scale),
        Contribution(
            feature="prior_fragility_fracture", label="Earlier fragility fracture", value=1.0, log_odds=0.42 * scale
        ),
        Contribution(feature="current_smoker", label="Current smoker", value=1.0, log_odds=0.11 * scale),
        Contribution(feature="glucocorticoids", label="Glucocorticoids", value=None, log_odds=-0.06 * scale),
    )


def risk() -> RiskEstimate:
    """Ten-year probabilities with one published factor on top of the model."""
    diabetes = RelativeRisk(factor="type 2 diabetes", ratio=1.19, evidence_id="VILACA2020")
    return RiskEstimate(
        model_id=_RISK_MODEL,
        model_validation="AUC 0.76 (95% interval 0.72 to 0.80) for vertebral fracture read on imaging, 3,127 people.",
        major_osteoporotic=FractureProbability(
            outcome="major_osteoporotic",
            value=0.227,
            low=0.171,
            high=0.294,
            horizon_years=10.0,
            base_log_odds=-3.238,
            contributions=_contributions(1.0),
            model_value=0.195,
            adjustments=(diabetes,),
        ),
        hip=FractureProbability(
            outcome="hip",
            value=0.071,
            low=0.042,
            high=0.115,
            horizon_years=10.0,
            base_log_odds=-4.925,
            contributions=_contributions(1.2),
            model_value=0.0606,
        ),
        interval_meaning="The interval holds the middle 90% of 50 models trained on resampled people.",
        missing=("parental_hip_fracture", "glucocorticoids", "alcohol_3_or_more_units_per_day"),
        warnings=(),
    )


def context() -> ClinicalContext:
    """A low-energy fall on the wrist with numb fingers."""
    return ClinicalContext(
        site=FractureSite.DISTAL_RADIUS,
        fracture_type=FractureType.OBLIQUE,
        mechanism=Mechanism.LOW_ENERGY,
        displaced=False,
        open_wound=False,
        neurological_deficit=True,
        calcium_diet_mg_per_day=600.0,
    )


def _severity() -> SeverityAssessment:
    return SeverityAssessment(
        grade=Severity.SEVERE,
        urgency=Urgency.IMMEDIATE,
        reasons=(
            _say(
                "severity.red_flag",
                "At least one reason for immediate action is present, so the grade is severe.",
                Certainty.COMPUTED,
                ("SEVERITY_RULE",),
                ("clinician",),
            ),
        ),
        red_flags=(
            RedFlag(
                urgency=Urgency.IMMEDIATE,
                statement=_say(
                    "severity.red_flag.neurological",
                    "Neurological deficit beside the fracture: document it and refer for senior surgical review now.",
                    Certainty.VERIFIED,
                    ("SCOT_MTC",),
                    ("clinician",),
                ),
            ),
        ),
        clinician_must_check=(
            _say(
                "severity.check.pulse",
                "Check and document the pulse, capillary refill and sensation beyond the fracture.",
                Certainty.VERIFIED,
                ("SCOT_MTC",),
            ),
            _say("severity.check.skin", "Look at the skin over the fracture.", Certainty.UNVERIFIED, ("CLAV_GENERAL",)),
        ),
        not_judged=(
            _say(
                "severity.not_judged.displacement",
                "Displacement and angulation were not measured: the spacing is that of the detector.",
                Certainty.COMPUTED,
                (),
                ("image",),
            ),
        ),
    )


def _healing() -> HealingEstimate:
    smoking = _say(
        "healing.smoking",
        "Union took a quarter longer in smokers.",
        Certainty.VERIFIED,
        ("SCHENKER2013",),
        ("Observation/smoking-1",),
    )
    nsaid = _say(
        "healing.nsaid",
        "NSAIDs were associated with more non-union in adults.",
        Certainty.VERIFIED,
        ("WHEATLEY2019",),
        ("MedicationRequest/ibuprofen-1",),
    )
    return HealingEstimate(
        median_weeks=8.9,
        low_weeks=6.8,
        high_weeks=11.8,
        baseline=_say(
            "healing.baseline.distal_radius",
            "Fractures of the distal radius unite in 6 to 8 weeks in adults.",
            Certainty.UNVERIFIED,
            ("HOPPENFELD",),
            ("clinician",),
        ),
        factors=(
            HealingFactor(
                factor="current smoking", time_ratio=1.25, time_ratio_low=1.1, time_ratio_high=1.4, statement=smoking
            ),
            HealingFactor(factor="NSAID", time_ratio=None, time_ratio_low=None, time_ratio_high=None, statement=nsaid),
        ),
        nonunion_low=0.02,
        nonunion_high=0.06,
        nonunion=_say(
            "healing.nonunion",
            "Non-union is estimated at 2% to 6% with the factors above.",
            Certainty.COMPUTED,
            ("WHEATLEY2019",),
        ),
        notes=(
            _say(
                "healing.vitamin_d",
                "Vitamin D has not been shown to speed union.",
                Certainty.VERIFIED,
                ("VITASHOCK2023",),
            ),
        ),
    )


def _supplementation() -> tuple[Advice, ...]:
    return (
        Advice(
            action=AdviceAction.CONSIDER,
            agent="vitamin_d",
            statement=_say(
                "supplementation.vitamin_d.low",
                "25-hydroxyvitamin D is 31 nmol/L: consider correcting it for bone health.",
                Certainty.VERIFIED,
                ("BHOF2022",),
                ("Observation/vitd-1",),
            ),
            dose_low=800.0,
            dose_high=1000.0,
            dose_unit="[iU]/d",
        ),
        Advice(
            action=AdviceAction.SEPARATE,
            agent="calcium",
            statement=_say(
                "safety.levothyroxine.calcium",
                "Take calcium at least 4 hours apart from levothyroxine.",
                Certainty.VERIFIED,
                ("KALCIPOS_SPC",),
                ("MedicationRequest/levothyroxine-1",),
            ),
        ),
        Advice(
            action=AdviceAction.AVOID,
            agent="nsaid",
            statement=_say(
                "safety.nsaid.older",
                "Avoid NSAIDs for pain in frail or older adults with a fracture.",
                Certainty.VERIFIED,
                ("NICE_NG38",),
                ("MedicationRequest/ibuprofen-1",),
            ),
        ),
    )


def _follow_up() -> tuple[FollowUp, ...]:
    return (
        FollowUp(
            what="Senior surgical review",
            earliest_week=0.0,
            latest_week=0.0,
            urgency=Urgency.IMMEDIATE,
            statement=_say(
                "aftercare.review", "Senior surgical review today.", Certainty.VERIFIED, ("SCOT_MTC",), ("clinician",)
            ),
        ),
        FollowUp(
            what="Fracture risk assessment and DXA",
            earliest_week=0.0,
            latest_week=12.0,
            urgency=Urgency.ROUTINE,
            statement=_say(
                "aftercare.fls.dxa",
                "Complete the fracture risk assessment, with DXA, within 12 weeks.",
                Certainty.VERIFIED,
                ("FLS_JAVAID2020",),
                ("Condition/osteoporosis-1",),
            ),
        ),
        FollowUp(
            what="Check that treatment is taken",
            earliest_week=52.0,
            latest_week=None,
            urgency=Urgency.ROUTINE,
            statement=_say(
                "aftercare.fls.52", "Ask about bone drugs at 52 weeks.", Certainty.VERIFIED, ("FLS_JAVAID2020",)
            ),
        ),
    )


def _source(
    identifier: str, statement: str, citation: str, public: str | None, certainty: Certainty = Certainty.VERIFIED
) -> SourceReference:
    return SourceReference(
        id=identifier, statement=statement, citation=citation, identifier=public, certainty=certainty
    )


def sources() -> tuple[SourceReference, ...]:
    """Every evidence id that `full_case` cites."""
    return (
        _source("SCOT_MTC", "Document pulses and nerve function.", "Scottish major trauma guidance.", None),
        _source(
            "CLAV_GENERAL",
            "Threatened skin needs review.",
            "General teaching, not checked.",
            None,
            Certainty.UNVERIFIED,
        ),
        _source(
            "SEVERITY_RULE", "Any red flag makes the grade severe.", "This engine's own rule.", None, Certainty.COMPUTED
        ),
        _source("HOPPENFELD", "Distal radius 6 to 8 weeks.", "Hoppenfeld and Murthy 2000.", None, Certainty.UNVERIFIED),
        _source("SCHENKER2013", "Union 24.1 against 30.2 weeks.", "Schenker et al. 2013.", "10.1000/example.1"),
        _source("WHEATLEY2019", "NSAIDs: odds ratio 2.07.", "Wheatley et al. 2019.", None),
        _source("VITASHOCK2023", "No effect on union, n = 102.", "Vita-Shock trial 2023.", None),
        _source("BHOF2022", "Target 30 to 50 ng/mL.", "Bone Health and Osteoporosis Foundation 2022.", "PMID:12345678"),
        _source("KALCIPOS_SPC", "Separate calcium by 4 hours.", "Calcium product information.", None),
        _source("NICE_NG38", "NSAIDs in older adults.", "NICE guideline NG38.", None),
        _source("FLS_JAVAID2020", "Twelve weeks to assessment.", "Javaid et al. 2020.", None),
        _source("VILACA2020", "Type 2 diabetes, non-vertebral 1.19.", "Vilaca et al. 2020.", None),
    )


def assessment() -> Assessment:
    """Every part present."""
    return Assessment(
        created=CREATED,
        summary=_say(
            "summary",
            "Fracture of the distal radius seen with a neurological deficit: senior review now.",
            Certainty.COMPUTED,
            (),
            ("image", "clinician"),
        ),
        severity=_severity(),
        healing=_healing(),
        risk_statements=(
            _say(
                "risk.fragility",
                "A low-energy fracture with a T-score of -2.5 or lower meets the definition of osteoporosis.",
                Certainty.VERIFIED,
                ("BHOF2022",),
                ("Observation/dxa-1", "clinician"),
            ),
        ),
        supplementation=_supplementation(),
        follow_up=_follow_up(),
        limitations=(
            _say(
                "limitations.calcium",
                "Serum calcium could not be used: its unit is not understood.",
                Certainty.RECORDED,
                (),
                ("Observation/calcium-1",),
            ),
        ),
        sources=sources(),
        evidence_version="1.0.0+9c1f",
    )


def full_case() -> CaseResult:
    """X-ray, record and clinician's input, with every section of the report filled."""
    return CaseResult(
        case_id=CASE_ID,
        engine_version="0.1.0",
        radiograph=radiograph(),
        findings=findings(),
        patient=patient(),
        features=features(),
        risk=risk(),
        risk_unavailable=None,
        context=context(),
        assessment=assessment(),
        explanations=(explanation(),),
    )


def _without_record(original: Assessment, why: str) -> Assessment:
    return replace(
        original,
        supplementation=(),
        risk_statements=(),
        limitations=(_say("limitations.record", why, Certainty.COMPUTED),),
    )


def image_only_case() -> CaseResult:
    """A PNG without spacing, no record, nothing stated by the clinician: one suspected place, no sources."""
    full = full_case()
    png = replace(
        radiograph(), source_format="png", spacing=None, region=None, laterality=None, dicom=None, warnings=()
    )
    place = replace(findings().detections[1], box_width_mm=None, box_height_mm=None)
    seen = replace(
        findings(),
        call=FractureCall.SUSPECTED,
        max_score=0.31,
        fracture_probability=Measurement(value=0.38, low=0.27, high=0.5),
        calibration_prevalence=0.18,
        detections=(place,),
        spacing=None,
        region=None,
        region_source=None,
        laterality=None,
        warnings=("imaging.spacing.missing",),
    )
    assessed = replace(
        _without_record(full.assessment, "No patient record was given: risk and supplements were not judged."),
        summary=_say("summary", "A fracture is suspected on the radiograph.", Certainty.COMPUTED, (), ("image",)),
        severity=SeverityAssessment(grade=Severity.UNDETERMINED, urgency=Urgency.CLINIC),
        healing=None,
        follow_up=(),
        sources=(),
    )
    return replace(
        full,
        radiograph=png,
        findings=seen,
        patient=None,
        features=None,
        risk=None,
        risk_unavailable="No patient record was given.",
        explanations=(),
        context=ClinicalContext(),
        assessment=assessed,
    )


def patient_only_case() -> CaseResult:
    """A record without a radiograph: risk and supplements, no injury."""
    full = full_case()
    assessed = replace(
        full.assessment,
        summary=_say(
            "summary", "No radiograph was given; bone health was assessed from the record.", Certainty.COMPUTED
        ),
        severity=SeverityAssessment(grade=Severity.NOT_APPLICABLE, urgency=Urgency.ROUTINE),
        healing=None,
        limitations=(_say("limitations.image", "No radiograph was given.", Certainty.COMPUTED),),
    )
    return replace(
        full, radiograph=None, findings=None, explanations=(), context=ClinicalContext(), assessment=assessed
    )


def negative_case() -> CaseResult:
    """A radiograph on which nothing was seen."""
    image_only = image_only_case()
    assert image_only.findings is not None
    assessed = replace(
        image_only.assessment,
        summary=_say("summary", "No fracture was seen; this does not exclude one.", Certainty.COMPUTED, (), ("image",)),
        severity=SeverityAssessment(grade=Severity.NOT_APPLICABLE, urgency=Urgency.ROUTINE),
    )
    return replace(
        image_only,
        findings=replace(
            image_only.findings,
            call=FractureCall.NOT_SEEN,
            max_score=0.04,
            fracture_probability=Measurement(value=0.03, low=0.01, high=0.06),
            calibration_prevalence=0.18,
            detections=(),
        ),
        assessment=assessed,
    )


def unreadable_case() -> CaseResult:
    """A radiograph that is not fit to be judged."""
    image_only = image_only_case()
    assert image_only.findings is not None
    assessed = replace(
        image_only.assessment,
        summary=_say("summary", "The radiograph could not be judged.", Certainty.COMPUTED, (), ("image",)),
    )
    return replace(
        image_only,
        findings=replace(
            image_only.findings,
            call=FractureCall.CANNOT_JUDGE,
            max_score=None,
            fracture_probability=None,
            scope_score=None,
            attributes=None,
            detections=(),
            warnings=("imaging.content.low_contrast", *image_only.findings.warnings),
        ),
        assessment=assessed,
    )


def all_cases() -> dict[str, CaseResult]:
    """Each example case by name."""
    return {
        "full": full_case(),
        "image_only": image_only_case(),
        "patient_only": patient_only_case(),
        "negative": negative_case(),
        "unreadable": unreadable_case(),
    }

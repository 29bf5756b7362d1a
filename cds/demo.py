"""``cds demo``: a drawn radiograph and a fictional patient through the whole engine, without anybody's data.

The files land in one folder: the two inputs (``phantom.dcm``, ``patient.json``) and the results in every format. The
phantom is a drawing: what the detector says about it shows that the parts work together, and nothing about how well it
reads radiographs.
"""

from datetime import datetime
from io import BytesIO
from pathlib import Path

from cds.artifacts import write_artifacts
from cds.audit import NoAuditTrail
from cds.bootstrap import build_engines, for_one_case, load_settings
from cds.case import CaseInput
from cds.demo_patient import demo_bundle
from cds.entrypoints.console import show_summary
from cds.logs import configure_logging
from cds.options import ReportFormat
from cds.outputs import render_files
from cds.pipeline import Engines, handle_case
from fusion.context import ClinicalContext, Mechanism
from fusion.sites import FractureSite

IMAGE_FILE = "phantom.dcm"
RECORD_FILE = "patient.json"
PHANTOM_SEED = 20260304


def demo_image() -> bytes:
    """A DICOM file of a drawn left forearm with a displaced fracture of the distal radius, marked synthetic."""
    from imaging.dicom.writer import DicomHeader, View, build_dicom
    from imaging.phantom.build import make_phantom
    from imaging.phantom.spec import FractureSpec, PhantomBone, PhantomSpec

    fracture = FractureSpec(
        bone=PhantomBone.RADIUS,
        height_mm=24.0,
        obliquity_deg=12.0,
        gap_mm=1.6,
        displacement_mm=4.0,
        angulation_deg=10.0,
        roughness_mm=1.2,
        fragments=1,
    )
    spec = PhantomSpec(fractures=(fracture,), laterality="L", cortex_scale=0.8)
    phantom = make_phantom(spec, seed=PHANTOM_SEED)
    header = DicomHeader(
        region=phantom.truth.region,
        laterality=phantom.truth.laterality,
        view=View.PA,
        spacing=phantom.truth.spacing,
        synthetic=True,
        patient_id="demo",
        patient_name="Patient^Fictional",
    )
    target = BytesIO()
    build_dicom(phantom.pixels, header).save_as(target, enforce_file_format=True)
    return target.getvalue()


def demo_case(as_of: datetime, *, explain: bool = True) -> CaseInput:
    """The made-up case: image, record, and what was found at the bedside.

    Args:
        as_of: the time of the demonstration, timezone-aware.
        explain: whether heat maps are wanted.
    """
    return CaseInput(
        image=demo_image(),
        bundle=demo_bundle(as_of),
        context=ClinicalContext(
            site=FractureSite.DISTAL_RADIUS,
            mechanism=Mechanism.LOW_ENERGY,
            displaced=True,
            intra_articular=False,
            open_wound=False,
            vascular_deficit=False,
            neurological_deficit=False,
            compartment_signs=False,
            skin_threatened=False,
            dislocation=False,
            calcium_diet_mg_per_day=500.0,
        ),
        explain=explain,
        as_of=as_of,
    )


def run_demo(out: Path, engines: Engines | None = None, *, explain: bool = True) -> None:
    """Assess the made-up case, write its inputs and results, print the summary.

    Args:
        out: folder for the files.
        engines: the parts to use; the real ones by default.
        explain: whether heat maps are wanted.

    Raises:
        Exception: everything that `cds.errors.explain` knows.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    case = demo_case(datetime.now().astimezone().replace(microsecond=0), explain=explain)
    # Nobody's data: no audit record.
    result = handle_case(case, engines or build_engines(for_one_case(settings)), audit=NoAuditTrail(), actor="demo")
    files = {IMAGE_FILE: case.image or b"", RECORD_FILE: case.bundle or b"", **render_files(result, ReportFormat)}
    show_summary(result, write_artifacts(out, files))

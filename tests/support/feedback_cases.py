"""Kept cases for tests of the learning loop: real files, the machine's findings as the test wants them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cds.bedside import parse_context
from cds.case import CaseInput
from cds.learning.feedback.cases import REPORT
from cds.pipeline import Engines
from cds.presenters.json_report import render_json
from cds.store.cases import NamedFile
from cds.store.feedback import Box, FeedbackContent, FeedbackKind
from cds.store.opening import Store
from cds.work.requests import REQUEST_FILE, RawCase, request_file
from fhir_adapters.reader import read_bundle
from imaging.reader import read_radiograph
from imaging.results import BoxPx, FractureCall
from tests.support import cases
from tests.support.fakes import FakeParts

AS_OF = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
ONE: Box = (20, 30, 50, 60)
TWO: Box = (70, 90, 100, 120)


def engines() -> Engines:
    """Readers that are real; everything else answers at once."""
    return replace(FakeParts().engines(), read_image=read_radiograph, read_record=read_bundle)


def limb(seed: int, *, rows: int = 160, columns: int = 128) -> NDArray[np.uint8]:
    """A bright shaft on a dark ground with some noise, [rows, columns]; every seed another one."""
    random = np.random.default_rng(seed)
    profile = 30 + 170 * np.exp(-(((np.arange(columns) - columns / 2 - seed % 7) / 18.0) ** 2))
    image = profile[None, :] * np.linspace(0.8, 1.0, rows)[:, None] + random.normal(0, 3, (rows, columns))
    grey: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return grey


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def keep_case(
    store: Store,
    image: bytes | None,
    *,
    bundle: bytes | None = None,
    boxes: Sequence[Box] = (ONE, TWO),
    call: FractureCall = FractureCall.DEFINITE,
    bedside: dict[str, str | None] | None = None,
    patient_key: str | None = None,
    synthetic: bool = False,
) -> str:
    """Keep a case with what the machine is to have said, and give its identifier."""
    raw = RawCase(
        image=image, bundle=bundle, patient_id=None, frame=None, as_of=AS_OF.isoformat(), bedside=bedside or {}
    )
    example = cases.findings()
    radiograph = None if image is None else read_radiograph(image)
    detections = tuple(
        replace(example.detections[0], box=BoxPx(x1=box[0], y1=box[1], x2=box[2], y2=box[3])) for box in boxes
    )
    findings = replace(example, call=call, detections=detections, synthetic=synthetic)
    patient = None if bundle is None else read_bundle(bundle, as_of=AS_OF)
    result = replace(
        cases.full_case(),
        case_id=str(uuid4()),
        radiograph=radiograph,
        findings=None if image is None else findings,
        patient=patient,
        context=parse_context(bedside or {}),
    )
    dicom = None if radiograph is None else radiograph.dicom
    stored = store.cases.save(
        CaseInput(image=image, bundle=bundle, as_of=AS_OF),
        result,
        actor="web:anna",
        reports=[
            NamedFile(name=REPORT, media_type="application/json", content=render_json(result)),
            NamedFile(name=REQUEST_FILE, media_type="application/json", content=request_file(raw, AS_OF)),
        ],
        patient_key=patient_key,
        study_uid=None if dicom is None else dicom.study_instance_uid,
    )
    return stored.id


def say(
    store: Store, case_id: str, kind: str, *, author: str = "key:anna", role: str = "clinician", **more: object
) -> str:
    """Give feedback; details beside ``finding`` and ``supersedes`` are its content. Gives its identifier."""
    finding, supersedes = more.pop("finding", None), more.pop("supersedes", None)
    kept = store.feedback.add(
        case_id,
        FeedbackKind(kind),
        author=author,
        role=role,
        finding=finding,  # type: ignore[arg-type]  # the store checks it
        supersedes=supersedes,  # type: ignore[arg-type]
        content=FeedbackContent(**more),  # type: ignore[arg-type]
    )
    return kept.id

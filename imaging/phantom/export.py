"""The phantom as a DICOM file. Apart from `imaging.phantom`, so that drawing one does not load pydicom."""

from io import BytesIO

from imaging.dicom.writer import DicomHeader, RadiographClass, View, build_dicom
from imaging.phantom.spec import Limb, Phantom


def make_phantom_dicom(
    phantom: Phantom,
    *,
    storage: RadiographClass = RadiographClass.DX,
    inverted: bool = False,
    patient_id: str = "",
    patient_name: str = "",
) -> bytes:
    """The phantom as a DICOM file, marked as synthetic, with its spacing stated as calibrated.

    Args:
        phantom: What to write.
        storage: Digital X-Ray or Computed Radiography.
        inverted: Store it as MONOCHROME1.
        patient_id: Identifier to write, for trials of a whole workflow; a phantom has none of its own.
        patient_name: The same for the name.

    Returns:
        The file's bytes, 12 bits, uncompressed. UIDs depend on the specification and the seed alone.
    """
    header = DicomHeader(
        region=phantom.truth.region,
        laterality=phantom.truth.laterality,
        view=View.PA if phantom.spec.limb is Limb.FOREARM else View.AP,
        spacing=phantom.truth.spacing,
        storage=storage,
        inverted=inverted,
        synthetic=True,
        patient_id=patient_id,
        patient_name=patient_name,
        uid_seed=f"{phantom.spec!r}/{phantom.seed}/{storage}/{inverted}/{patient_id}",
    )
    buffer = BytesIO()
    build_dicom(phantom.pixels, header).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()

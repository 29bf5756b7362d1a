"""DICOM: reading radiographs, and writing small valid ones.

Map
---
``reader``    bytes to `Radiograph`: what is accepted, what is refused, in which order.
``dataset``   bytes to a parsed data set, bounded and silent; typed access to single attributes.
``pixels``    one frame of stored values, from any transfer syntax.
``rle``       run-length coding, bounded.
``display``   stored values to 0..1, bone bright: modality LUT, VOI LUT or window, presentation LUT, padding.
``anatomy``   body part to `BodyRegion`, or outside the intended use.
``spacing``   millimetres per pixel and where they hold.
``writer``    a minimal valid Digital X-Ray or CR image.

Only the attributes these modules name are read; nothing of the patient module ever is.
"""

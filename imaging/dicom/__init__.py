"""DICOM: reading radiographs, writing small valid ones, and filing findings beside them.

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
``deidentify``  radiographs for training exports: PS3.15 by allow-list, residue searched for; ``deidentify_folder``.
``burned_in``  text in the pixels near the borders, and painting over it; says what it cannot see.
``filing``    what result objects share: identifiers, patient, study, equipment.
``sr``        findings as a structured report (TID 1500); ``codes`` holds its concepts.
``presentation``  the boxes for a viewer to draw (Grayscale Softcopy Presentation State).
``capture``   the boxes burned into a copy, and a PNG or JPEG wrapped (Secondary Capture).

Only the attributes these modules name are read; of the patient module, only ``filing`` reads any, to copy it, and
``deidentify``, to replace it.
"""

"""Pixels to findings: the X-ray side of the engine, ignorant of patients, risk and rules.

Map
---
``results``       the border type `ImageFindings`; imports no framework.
``labels``        the one class map and the body regions.
``errors``        the error tree.
``warnings``      every warning and its sentence for the reader.
``radiograph``    `Radiograph`: one X-ray in memory.
``reader``        a DICOM, PNG or JPEG file to a `Radiograph`.
``deidentify_picture``  PNG and JPEG for training exports; DICOM: ``dicom``.
``raster``, ``grey``, ``codestream``, ``limits``: what the reader is made of.
``dicom``         the DICOM reader and writer, pixel-spacing provenance.
``preprocess``    the one way grey values reach the network.
``manifest``      what a weight file is and how it must be used.
``yolov7``        network, loss, decoding, weights.
``training``      Lightning module, data, metrics, evaluation.
``runtime``       the same network in OpenVINO or torch.
``attributes``    small heads on the network's features: pattern, limb, views, hardware, scope.
``geometry``      line length, displacement, angulation, shortening from the bone's own edges.
``calibration``, ``quality``, ``decision``: score to probability, plate to warnings, all of it to the call.
``explanation``   heat maps.
``export``        the detector as one file for another runtime, with a reader script.
``bone_age``      skeletal age from a child's hand, with its interval and its standards.
``ensemble``      the boxes of two detectors to one list.
``engine``        `FractureEngine`: file in, `ImageFindings` out.
``phantom``       synthetic limb radiographs with known geometry.

Importing this package loads no framework; import the module you need.
"""

import sys

# Importing openvino tells its maker so, save on build servers, and no variable prevents it; where this part of it
# cannot be imported it has a silent stub of its own. A hospital's engine reports to nobody.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

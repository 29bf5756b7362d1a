"""Pixels to findings: the X-ray side of the engine, ignorant of patients, risk and rules.

Map
---
``results``       the border type `ImageFindings`; imports no framework.
``labels``        the one class map and the body regions.
``errors``        the error tree.
``radiograph``    `Radiograph` and the reader that turns a file into one.
``dicom``         the DICOM reader and pixel-spacing provenance.
``yolov7``        network, loss, decoding, weights.
``training``      Lightning module, data, metrics, evaluation.
``runtime``       the same network in OpenVINO or torch.
``engine``        `FractureEngine`: file in, `ImageFindings` out.
``phantom``       synthetic limb radiographs with known geometry.

Importing this package loads no framework; import the module you need.
"""

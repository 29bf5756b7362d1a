"""The detector as one file for a tablet: ONNX, OpenVINO or TFLite, in float32 or int8, checked before it is kept.

Map
---
``exporter``      `export_detector`: the whole of it, from weights to a checked file with its card.
``network``       what is exported: canvas in, boxes, scores and, for the scope model, feature maps out.
``writers``       one function per format; the libraries they need are loaded when they are called.
``calibration``   the radiographs that set the ranges of int8, and those that check the result.
``check``         the written file against eager torch, and both against the labels.
``card``          the JSON beside the file: preprocessing, thresholds, anchors, digests, the check.
``scope``         the scope model and its limits for the card.
``edge_reader``   copied beside every export: image file to findings, with neither torch nor this project.
``edge_scope``    beside it where the card has a scope model: tells limb radiographs from other pictures.
``errors``        what can go wrong.
"""

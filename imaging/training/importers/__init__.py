"""Labelled data sets of other tools, turned into the one CSV layout that `read_collection` reads.

Map
---
``found``    what every importer gives: images, boxes with their labels, and problems row by row.
``yolo``     ``images`` + ``labels`` (+ ``data.yaml``), plain or in train / val / test folders.
``voc``      one Pascal VOC XML file per image (+ ``ImageSets/Main``).
``coco``     COCO JSON, one or several files.
``table``    one CSV file with a row per box, or per healthy image.
``convert``  a folder in one of these formats to ``images.csv`` + ``boxes.csv`` + ``images``, whole or not at all.

TFRecord is not read. It is a container of TensorFlow's own messages without a fixed schema for boxes, so that reading
it means installing TensorFlow and guessing the writer's keys; the tools that write it for detection also write COCO
JSON or Pascal VOC, which a person can open and correct.
"""

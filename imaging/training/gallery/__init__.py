"""The folder a person looks at after a training or an evaluation: figures, curves, tables and the worst errors.

Map
---
``curves``     the numbers behind the plots: ROC, precision-recall, FROC, calibration, confusion.
``subgroups``  the same questions per region, view, hardware and other columns of the data set.
``details``    all of these tables together, as the page and the JSON of an evaluation show them.
``plots``      curves to SVG files.
``pictures``   radiographs with boxes, and which of them are the worst errors.
``folder``     all of it into one folder with ``index.html``.
"""

"""Measuring a fracture from the bone's own edges: line, width, displacement, angulation, shortening. Nothing is learnt.

A detection's box says where to look. Around it the two fragments are sought as straight bands of bone, each with a left
and a right edge; the edges are traced, the fragments' axes fitted to them, and the fragments' ends found along the
axes. Everything is measured in the plane of one picture: rotation of a fragment, and displacement towards the beam,
cannot be seen. What cannot be measured is refused with a reason.

Map
---
``measurement``  `measure`: pixels and a box in, `imaging.results.FractureGeometry` out.
``overlay``      `draw`: the measurement drawn on the radiograph, for people to check.
``window``       the part of the picture that is looked at, and sampling along a direction.
``bands``        which two bands of bone meet in the box.
``edges``        a fragment's two edges, row by row, and its axis.
``ends``         where the fragments end: the fracture line.
``quantities``   values with their intervals.

Import `imaging.geometry.measurement` or `imaging.geometry.overlay`; this package itself loads neither NumPy nor OpenCV.
"""

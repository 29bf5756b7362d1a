"""What the detector's own features tell beside boxes: fracture pattern, displacement, limb, view, hardware, scope.

One pass of the network serves all but the pattern: small heads read its backbone's pooled features. The pattern has a
network of its own, which runs only where a fracture is told.

``pooling``            feature maps to one vector per radiograph or per box.
``heads``, ``model``   the fitted heads and what asks them.
``pattern_network``    what the pattern head reads.
``manifest``           what the heads are, how good they were measured to be.
``scope``              how far a picture lies from the radiographs the model was made for.
``pixel_statistics``   the part of that which needs no network.
"""

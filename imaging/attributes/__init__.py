"""What the detector's own features tell beside boxes: fracture pattern, displacement, limb, view, hardware, scope.

One pass of the network serves all: small heads read its backbone's pooled features.

``pooling``   feature maps to one vector per radiograph or per box.
"""

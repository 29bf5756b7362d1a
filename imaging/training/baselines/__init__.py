"""What the detector is worth: well-known networks taught on the same windows, for the same number of them.

Map
---
``networks``  SSDLite and Faster R-CNN of torchvision, a yes/no classifier, and our detector behind one interface.
``fit``       one training loop for the baselines, with the optimiser, schedule and weight average of our detector.
``detector``  our own detector from ImageNet on the same budget.
``measure``   what any of them finds in whole radiographs, and the figures of that.

Chance comes from (seed, epoch, draw) alone, so that every detector sees the same windows, pixel by pixel.
"""

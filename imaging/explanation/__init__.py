"""Where on the radiograph the network's answer came from, as heat maps. A heat map shows; it does not prove.

Map
---
``results``     `Explanation` and `HeatMap`, free of any framework but numpy.
``gradients``   Grad-CAM and integrated gradients of one scalar of the network.
``explainer``   `Explainer`: a radiograph and a detection to its heat maps.
``pattern``     the pattern head as the explainer asks it.
``sanity``      how much of a map survives when the weights are replaced by random ones.
``render``      heat over grey, the box and a legend, as a picture.

Importing this package loads no framework; import the module you need.
"""

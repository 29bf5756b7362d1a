"""Feature rows to risk: XGBoost models of fracture probability, ignorant of images and of FHIR.

Map
---
``features``     the border type `RiskFeatures`: one row, units in the names, None for what is not known.
``results``      the border type `RiskEstimate`; imports no framework.
``cohort``       NHANES files to training rows.
``model``        monotone boosted trees, their manifest, loading and saving.
``training``     cross-fitted training and the shipped artefacts.
``metrics``      discrimination and calibration with bootstrap intervals.
``engine``       `RiskEngine`: one row in, `RiskEstimate` out.
``errors``       the error tree.

Importing this package loads no framework; import the module you need.
"""

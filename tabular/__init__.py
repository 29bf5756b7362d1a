"""Feature rows to risk: XGBoost models of fracture probability, ignorant of images and of FHIR.

Map
---
``features``         the border type `RiskFeatures`: one row, units in the names, None for what is not known.
``results``          the border type `RiskEstimate`; imports no framework.
``engine``           `RiskEngine`: one row in, `RiskEstimate` out.
``model``            monotone boosted trees, their manifest, loading and saving.
``explain``          exact TreeSHAP values in log-odds.
``calibration``      conformal intervals by what was known.
``relative_risks``   cited effects that the survey could not teach.
``cohort``           NHANES files to training rows.
``formula``          a smooth formula of the official probabilities, the trees' teacher.
``teaching``         what the trees are shown, and what is hidden from them.
``training``         `train` and `evaluate`.
``crossfit``         figures from people the trees had not seen.
``validation``       agreement with official probabilities, with fractures, and with GLOW500.
``metrics``          discrimination and calibration with bootstrap intervals.
``manifest``         what the shipped files say of themselves.
``errors``           the error tree.
``warnings``         warning codes in words.
``weights/``         the shipped model: boosters, intervals, manifest.

Importing this package loads no framework; import the module you need.
"""

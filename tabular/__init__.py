"""Feature rows to risk: XGBoost models of fracture probability, ignorant of images and of FHIR.

Map
---
``features``         the border type `RiskFeatures`: one row, units in the names, None for what is not known.
``results``          the border type `RiskEstimate`; imports no framework.
``engine``           `RiskEngine`: one row in, `RiskEstimate` out.
``model``            monotone boosted trees, their manifest, loading and saving.
``checks``           one row made fit for the model, or refused.
``explain``          what moved a prediction, in log-odds and in words.
``tree_shap``        exact TreeSHAP values, fast enough for a population.
``what_if``          what would change an estimate; ``plausible_answers`` what people alike would answer.
``calibration``      conformal intervals by what was known.
``relative_risks``   cited effects that the survey could not teach.
``cohort``           NHANES files to training rows.
``healing``          a site's own healing times, fitted and judged beside the published figures; a package.
``formula``          a smooth formula of the official probabilities, the trees' teacher.
``teaching``         what the trees are shown, and what is hidden from them.
``osteoporosis``     how likely undiagnosed osteoporosis is, for referral to densitometry.
``osteoporosis_training``  its fit, calibration and referral thresholds.
``recalibration``    a monotone correction that the final trees learn.
``reference``        the model's risk in the survey's population by age and sex.
``anchoring``        the probabilities moved to another population's mean risk.
``training``         `train`.
``evaluation``       `evaluate`: a written model on a file, as a whole and in subgroups.
``report``           an evaluation as tables and plots.
``comparisons``      the model beside published tables and simpler methods.
``leakage``          whether a figure rests on what the model could not know.
``crossfit``         figures from people the trees had not seen.
``validation``       agreement with official probabilities, with fractures, and with GLOW500.
``metrics``          discrimination and calibration with bootstrap intervals.
``manifest``         what the shipped files say of themselves.
``errors``           the error tree.
``warnings``         warning codes in words.
``weights/``         the shipped model: boosters, intervals, manifest.

Importing this package loads no framework; import the module you need.
"""

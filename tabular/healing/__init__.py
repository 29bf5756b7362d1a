"""A site's own recorded healing times to a model that stands beside the published figures where it beats them.

No public data hold healing times of single patients, so no model ships: a hospital fits its own with
``cds train healing`` and points ``FRACTURE_CDS_HEALING_DIR`` at the folder.

Map
---
``outcomes``    the table of recorded outcomes: its layout, its checks, one `HealingRow` per fracture.
``forecasts``   distributions of the week of union, and the proper score of one against what was seen.
``boosting``    XGBoost's accelerated failure time, monotone where medicine says so, and its calibrated spread.
``comparison``  the model beside the published figures, paired by bootstrap.
``training``    `train`: cross-fitting, comparison by group of bones, weights, files.
``engine``      `HealingModel`: a folder read again, one person in, `LearnedHealing` out.
``errors``      what can go wrong.
"""

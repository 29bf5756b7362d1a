"""Findings, record and risk to one assessment, by cited rules; imports no framework.

Map
---
``results``            the border type `Assessment` and its parts.
``context``            what only the clinician at the bedside knows.
``sites``              fracture sites and how image regions map to them.
``engine``             `FusionEngine.assess`: the order in which the rules are asked.
``facts``              the case as the rules see it.
``evidence_base``      the evidence base (YAML in ``evidence/``); ``evidence_model`` and ``evidence_reader`` beside it.
``statements``         makes every sentence and checks its citations.
``severity``           grade, reasons and open questions; with ``red_flags``, ``thresholds``, ``measured`` and
                       ``severity_checks`` (who is seen the same day; what the record asks for before theatre).
``healing``            weeks to union, exact percentiles; with ``union_times`` and ``healing_factors``.
``healing_nonunion``   the range of the risk of non-union; ``healing_simulation`` draws what has no closed form.
``healing_what_if``    the same estimate without one modifiable factor. ``healing_learned``: a site's own outcomes.
``contraindications``  what forbids, spaces or cautions calcium and vitamin D, with ``interactions``; ``drug_safety``
                       and ``pain_drugs`` for bone and pain drugs.
``ordered_drugs``      the same rules for a drug that is being ordered.
``supplementation``    calcium and vitamin D; with ``intakes``. ``lifestyle``: protein, vitamin C, smoking, alcohol.
``prognosis``          the risk of the next fracture in words, and treatment thresholds.
``fragility``          weak bone or force alone; with ``fragility_sites``, ``fragility_causes``, ``fragility_reasons``.
``aftercare``          follow-up imaging; ``rehabilitation`` by site, its steps in ``rehabilitation_steps``.
``unusual_calendar``   where the usual weeks do not hold: a lesion, an open fracture, a ``diabetic_foot``.
``bone_health``        lines that `fragility` switches. ``kidney``: what a low eGFR says of a bone drug.
``growth_plate``       growth left, remodelling and the growth plate, by skeletal age where it was read.
``combination``        image alone, patient alone, together; ``combination_prior``, ``_odds`` and ``_bands``.
``narrative``          the summary, the limitations and the list of sources.
``guard``              unverified evidence never drives a recommendation alone.
``warnings``           every warning code in words. ``errors``: what can go wrong.
"""

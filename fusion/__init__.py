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
``severity``           grade, reasons and open questions; with ``red_flags``, ``thresholds`` and ``measured``.
``healing``            weeks to union and non-union; with ``union_times`` and ``healing_factors``.
``contraindications``  what forbids, spaces or cautions calcium and vitamin D; ``drug_safety`` for bone and pain drugs.
``supplementation``    calcium and vitamin D; with ``intakes``. ``lifestyle``: protein, vitamin C, smoking, alcohol.
``prognosis``          the risk of the next fracture in words, and treatment thresholds.
``fragility``          weak bone or force alone; with ``fragility_sites``, ``fragility_causes``, ``fragility_reasons``.
``aftercare``          follow-up imaging and rehabilitation. ``bone_health``: the lines that `fragility` switches.
``growth_plate``       growth left, remodelling and the growth plate, by skeletal age where it was read.
``narrative``          the summary, the limitations and the list of sources.
``guard``              unverified evidence never drives a recommendation alone.
``warnings``           every warning code in words. ``errors``: what can go wrong.
"""

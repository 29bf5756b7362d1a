"""Findings, record and risk to one assessment, by cited rules; imports no framework.

Map
---
``results``          the border type `Assessment` and its parts.
``context``          what only the clinician at the bedside knows.
``sites``            fracture sites and how image regions map to them.
``evidence``         the evidence base (YAML beside the code) and its loader.
``engine``           `assess`: the order in which the rules are asked.
``severity``         grade, reasons, immediate-action flags.
``healing``          weeks to union as an interval, and what moved it.
``supplementation``  calcium and vitamin D.
``contraindications`` what forbids, spaces or cautions a supplement.
``aftercare``        follow-up, secondary prevention, rehabilitation.
"""

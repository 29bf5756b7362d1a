"""Candidates: a model goes on learning from new cases, mixed with a replay of the old ones.

A candidate is a folder beside the current model; nothing here puts it to use. ``cds learn promote`` does, after its
gate (`cds.learning.gate`).

Map
---
``config``         `RetrainConfig`: what decides a retraining, read from YAML.
``cases``          a feedback export as labelled radiographs; bad rows are reported, never swallowed.
``mix``            the new cases and the replayed old ones as one data set with a written split list.
``screen``         do this round's labels contradict the current model more than earlier labels did?
``record``         what goes into ``provenance.json``: parent, sources, digest of every image, settings, seed.
``detector``       fracture detector: fine-tuned, operating points and calibration chosen anew on held-out groups.
``heads``          where the data of a retrained detector's heads are found, and how these are fitted anew.
``fracture_type``  heads for pattern, limb, view and hardware on the current detector's features.
``risk``           fracture risk: refitted on enough survey rows, re-anchored on fewer outcomes, else left alone.
``healing``        healing times: this round's outcomes after those exported before.
``run``            `retrain`: one entry for all four.
``errors``         what can go wrong.
"""

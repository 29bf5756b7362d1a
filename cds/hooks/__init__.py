"""CDS Hooks services: a call of an EHR to cards that a busy clinician has reason to read.

Map
---
``services``       which services there are, on which hooks, and what each must know.
``record``         the record of a call: prefetched, else read from an allow-listed FHIR server, else refused.
``risk``           patient-view: the ten-year risk and care gaps, as `news.RiskNews`.
``orders``         order-select and order-sign: history for a radiograph, safety of an ordered drug.
``news``           what is worth a card; plain data, turned into cards by `cds.presenters.cards`.
``trust``          who is calling: signed client tokens, used once.
``feedback``       what became of the cards, append-only.
``errors``         what can go wrong.
"""

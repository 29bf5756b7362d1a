"""What codes mean to this engine: tables and their look-up, always by code, never by display text.

Map
---
``systems``       code systems and the URIs they are known by.
``meanings``      what a diagnosis code can mean.
``prefixes``      look-up in classifications whose codes are hierarchical.
``snomed``        SNOMED CT diagnoses, fracture concepts, body structures.
``icd10``         ICD-10 and ICD-10-CM diagnoses, by prefix.
``icd9``          ICD-9-CM diagnoses, by prefix.
``diagnoses``     one look-up over the three.
``observations``  LOINC (and SNOMED CT) measurements and coded answers.
``scans``         bone density scans, as procedures and reports bear them.
``atc``           drug classes by ATC prefix.
``rxnorm``        drug classes by RxNorm concept.
``drugs``         one look-up over the two.

A code that is in no table means nothing here: it is left out, not guessed.
"""

"""HL7 FHIR in and out: Bundles, codes and units, ignorant of images and of models.

Map
---
``patient``      the border type `PatientSnapshot`; imports no framework.
``reader``       an R4 Bundle (JSON, gz) or the parsed resources of one patient to a `PatientSnapshot`.
``relevance``    which lines of NDJSON need not be parsed; ``idle``, ``superseded``: which of the rest need not be read.
``bundle``, ``references``, ``shapes``, ``dates``, ``reading``: from bytes to the resources of one patient.
``demographics``, ``observations``, ``conditions``, ``family``, ``medications``, ``courses``, ``findings``,
``scans``: each reads its part of the record.
``codes``        SNOMED CT, ICD-10-CM, LOINC, RxNorm, ATC code sets, matched by code, never by display text.
``units``        the one place where UCUM units are converted.
``builders``     plain data to FHIR R4 resources, from the data types of ``r4_types``.
``proposals``    the same for what software may only propose: plans, orders, goals, alerts; always drafts.
``cds_hooks``    CDS Hooks on the wire: calls, cards, prefetch, draft orders.
``client``       FHIR and DICOMweb servers over HTTP: SMART, search, one patient's record, the newest radiograph.
``errors``       the error tree.
``warnings``     every warning and its sentence for the reader.

Importing this package loads no framework; import the module you need.
"""

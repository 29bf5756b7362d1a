"""FHIR R4 servers, and the DICOMweb servers beside them, as an asynchronous client.

Map
---
``http``       `HttpClient`: retries, deadlines, limits, redirects, traffic counts; knows no FHIR.
``answers``    `Reply` and how statuses and OperationOutcomes become errors and warnings.
``retrying``   when to try again and how long to wait.
``addresses``  base addresses, origins, and what of an address may appear in a message.
``fhir``       `FhirClient`: read with ETag, search with paging, ``_include`` and ``_has``.
``keys``       private keys from PEM or JWK, and the public JWKS.
``auth``       bearer tokens and SMART Backend Services.
``fetch``      what one patient's record needs, in few parallel requests, as one Bundle.
``send``       one transaction to the server, for a patient that it holds.
``bulk``       a population by Bulk Data ``$export`` into a folder; ``bulk_manifest`` (files and their addresses),
               ``bulk_files`` (one file, taken up and checked), ``bulk_state`` (the folder, for a run that goes on),
               ``bulk_report``, ``bulk_medications`` (those that exports of groups leave out).
``radiographs``, ``media``: which resources are radiographs of a limb, and the newest of them as a file.
``dicomweb``   one instance by WADO-RS.
``warnings``   every warning and its sentence for the reader.

Importing this package loads nothing; import the module you need.
"""

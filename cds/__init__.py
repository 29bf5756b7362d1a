"""The application: settings, wiring, pipeline, presenters and entry points. Only this package knows all the others.

Map
---
``case``         what comes in and what goes out: `CaseInput`, `CaseResult`.
``pipeline``     the story: `run_case` (pure) and `handle_case` (with audit).
``bootstrap``    the only place that builds models, readers and the audit trail.
``following``    parts that take a newly promoted model up between two cases.
``mapping``      `PatientSnapshot` to `RiskFeatures`; `warnings` says in words what could not be mapped.
``settings``     all settings, from the environment; `options` are the choices every entry point offers.
``bedside``      the clinician's own inputs: one wording, one way to read them from text.
``errors``       every error to exit code, HTTP status and words; `logs` keeps patient data out of logs.
``audit``        who did what, without patient data; `audit_chain` the same as FHIR AuditEvents in the store; both
                 hash-chained, their ends signed (`audit_head`).
``security``     who may do what: roles, keys, tokens, the gate; guards against hostile input.
``outputs``      one result in the format that was asked for.
``localisation`` words, numbers, dates and units in the reader's language.
``artifacts``    writing results: all files or none.
``demo``         a drawn radiograph and the fictional patient of `demo_patient`.
``batch``        a population to one ranked list, resumable, with flat memory.
``bulk_source``  a population on a FHIR server as a folder that ``batch`` reads; `fhir_source` does it for one patient.
``smart_launch`` the form opened by an EHR with its patient (SMART App Launch).
``sending``      a report to the FHIR server that the record came from.
``pacs``         files to a PACS.
``hooks``        CDS Hooks services: what of a chart or an order is worth a card.
``learning``     feedback to data, gated retraining, federation, drift, what to label next.
``presenters``   one result to HTML, JSON, FHIR, a terminal summary.
``entrypoints``  command line and web service.
"""

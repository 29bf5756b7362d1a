"""The application: settings, wiring, pipeline, presenters and entry points. Only this package knows all the others.

Map
---
``case``         what comes in and what goes out: `CaseInput`, `CaseResult`.
``pipeline``     the story: `run_case` (pure) and `handle_case` (with audit).
``bootstrap``    the only place that builds models and clients.
``mapping``      `PatientSnapshot` to `RiskFeatures`.
``settings``     all settings, from environment and files.
``errors``       every error to exit code, HTTP status and words.
``audit``        who did what, without patient data.
``artifacts``    writing results: all files or none.
``presenters``   one result to HTML, JSON, FHIR, a terminal summary.
``entrypoints``  command line and web service.
"""

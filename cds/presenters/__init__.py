"""One `CaseResult` in the shapes its readers need. Presenters lay out; they conclude nothing.

Map
---
``html``           the self-contained report for a person (``templates/`` holds its words and its look).
``json_report``    the same result for a program, as ``report.schema.json`` describes it.
``report_schema``  builds that schema from the border types.
``fhir_bundle``    the same result for an electronic health record: a FHIR R4 transaction.
``fhir_imaging``   its resources about the radiograph; ``fhir_transaction`` holds addresses and codes.
``fhir_estimates`` pattern, geometry and attributes as components of those resources.
``summary``        a few lines for the terminal.
``wording``        enums, numbers and units in words.
``messages``       warning codes in words.
``citations``      numbers of sources as the report cites them.
``ordering``       which advice and which appointment comes first.
``record_view``    rows of the patient section.
``image_view``     what the network says of the radiograph and of each place, in words and rows.
``places``         each marked place with its pictures: traced geometry and heat maps.
``figures``        the radiograph as PNG and the geometry of every drawing.
``risk_view``      what the risk section shows; ``risk_words`` its sentences.
``waterfall``      one probability step by step, as a drawing that adds up.

Importing this package loads no framework; import the module you need.
"""

"""One `CaseResult` in the shapes its readers need. Presenters lay out; they conclude nothing.

Map
---
``html``           the self-contained report for a person (``templates/`` holds its words and its look).
``json_report``    the same result for a program, as ``report.schema.json`` describes it.
``report_schema``  builds that schema from the border types.
``pdf``            the same report on paper; its words, orders and drawings are those of ``html``.
``translated``     that report and the PDF in another language: the finished English text, phrase by phrase.
``patient_page``   the same result in plain words for the patient, in the languages of `cds.localisation`.
``dicom_report``   the same result for a PACS: structured report, presentation state, overlay.
``fhir_bundle``    the same result for an electronic health record: a FHIR R4 transaction.
``fhir_imaging``   its resources about the radiograph; ``fhir_transaction`` holds addresses, tags and codes.
``fhir_estimates`` pattern, geometry and attributes as components of those resources.
``fhir_judgements`` severity, weak bone, union, image and patient; ``fhir_devices``: engine, models, Provenance.
``fhir_safety``    DetectedIssues and red flags; ``fhir_nutrition``: calcium, vitamin D and protein, where advised.
``fhir_care``      the CarePlan, its goals and requests; ``fhir_services`` says what is a service, and its codes.
``cards``          CDS Hooks cards; ``card_actions`` what they offer to do, ``card_words`` escaping and citations.
``summary``        a few lines for the terminal.
``wording``        enums, numbers and units in words.
``messages``       warning codes in words.
``citations``      numbers of sources as the report cites them.
``ordering``       which advice and which appointment comes first.
``record_view``    rows of the patient section.
``image_view``     what the network says of the radiograph and of each place, in words and rows.
``places``         each marked place with its pictures: traced geometry and heat maps.
``figures``        the radiograph as PNG and the geometry of every drawing.
``combination_view`` image alone, patient alone, together.
``risk_view``      what the risk section shows; ``risk_words`` its sentences.
``waterfall``      one probability step by step, as a drawing that adds up.

Importing this package loads no framework; import the module you need.
"""

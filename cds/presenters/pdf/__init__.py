"""One `CaseResult` as a PDF: the clinician's report on paper.

Map
---
``document``   the whole document: pages, running lines, outline, metadata.
``overview``   what is urgent, the radiograph, findings, severity.
``care``       time to union, follow-up, skeletal age, supplements and drug safety.
``numbers``    weak bone, image and patient together, the risk of a next fracture.
``ending``     limits, the data given, method, sources.
``words``      statements with their badge, citations and origins, as the layout engine's markup; escapes every text.
``blocks``     headings, lists and tables that break across pages.
``drawings``   the radiograph with its boxes, bars and waterfalls, drawn as vectors with a text alternative.
``translation``  the language of the document: every text passes through it on its way into the layout.
``styles``     fonts, sizes and colours.

The words, figures and orders are those of the HTML report (``wording``, ``*_view``, ``figures``, ``waterfall``); a
statement of the assessment that no section shows is listed at the end, so that nothing is lost.
"""

"""One `CaseResult` as a page in plain words for the patient, or for the parents of a child.

Map
---
``page``           the whole page as self-contained HTML; ``templates/`` holds its layout, no words.
``reader``         who reads it and what the case is: language, child or adult, what may not be told on paper.
``finding``        what was found, what it means, how long healing takes.
``advice``         what to do, and what not to take without asking.
``appointments``   the calendar.
``warning_signs``  when to come back.

Every sentence is a message of `cds.localisation`, chosen by structured fields of the case (call, site, grade, weeks,
doses, actions, agents, rule ids); no statement of the clinician's report is quoted. The page says no more than the
report does, and only counts when a clinician has signed it.
"""

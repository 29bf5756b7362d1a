"""The form in the browser: a case in, the result with its viewer out, judgements, history.

Map
---
``uploads``   where uploads lie, and for how long; sets the toolkit's environment.
``page``      the page: tabs, components, events; mounts it.
``inputs``    the components of the tab "Case".
``launched``  the patient whom an EHR opened the form for.
``sources``   patients by FHIR search, studies by QIDO-RS.
``running``   one assessment with its progress.
``opened``    the case on the screen: what the browser gets of it, exports, signing, sending.
``judging``   own read, agree, correct, reject, missed, outcome; agreement.
``history``   the list of kept cases.
``people``    who is at the keyboard; ``trail`` notes for the audit what they do.
"""

from cds.entrypoints.form.uploads import discard_uploads  # isort: skip - first: it sets the toolkit's environment
from cds.entrypoints.form.page import build_form, mount_form

__all__ = ["build_form", "discard_uploads", "mount_form"]

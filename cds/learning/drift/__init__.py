"""Is what comes in, what goes out, and what clinicians say of it still what it was when the model was adopted?

Map
---
``observation``  what is kept of a case for this: a few figures, no patient data.
``records``      where they are kept, and which of them are the reference.
``alarms``       alarms that were raised, as they are kept beside the reference.
``outcomes``     feedback as one verdict per case.
``monitors``     what is watched, and what to do when it moves.
``conformal``    how strange a case is among those before it, as a number that is uniform while nothing changes.
``evidence``     bets against "nothing has changed", whose gain is the evidence; valid however often one looks.
``watching``     all monitors over all cases: `DriftReport`.
``comparison``   the reference beside the radiographs that the detector was trained on.
``page``         the report as a page.
"""

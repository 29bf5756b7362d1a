"""The learning loop: what clinicians say becomes training data, new models pass a gate, and inputs are watched.

Map
---
``feedback``     verdicts to one truth per case, and to training data without identifiers.
``retraining``   candidates: new cases mixed with a replay of the old ones.
``gate``         candidate against current model on a locked set: promoted, or refused with the reason.
``promotion``    from a candidate folder to a decision: `scoring`, `gate`, `change_report`, `models` in turn.
``models``       the models of this site: kept, current, shadow; promote and roll back in one step.
``shadow``       a candidate runs silently beside the current model; differences are listed.
``federated``    several hospitals learn one model; no image, row or identifier leaves a hospital.
``drift``        input, output and outcome watched, with alarms that noise does not raise.
``selection``    the studies whose labels would teach most.
"""

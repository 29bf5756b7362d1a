"""Screening a population: many records to one ranked list, with flat memory, resumable, the same under every engine.

Map
---
``run``         the story: plan, scan, join, estimate, merge; what an engine must offer (`Executor`).
``plan``        inputs to deterministic units and buckets; the digest that names a run.
``journal``     the run folder: atomic files, finished tasks.
``sources``     first pass: a unit of input to records by patient; `lines`, `keys`, `bundles`, `tables` help it.
``spill``       records on disk, in buckets.
``join``        Medications to the patients who take them.
``partition``   second pass: one bucket of patients to rows.
``care_gaps``   what should have followed and is not in the record.
``opening``     how a run begins: its folder, its plan, and whether it goes on.
``columns``     what the columns of every list share: kinds, intervals, description.
``rows``        the documented columns, and how a patient becomes a row.
``rejects``     what could not be screened, in codes.
``statistics``  counts that add up over partitions.
``merging``     sorted parts to one sorted stream, with few files open.
``outputs``     the list, the rejects, the report.
``summary``     the counts as an HTML page.
``images``      the story for a work list of radiographs: plan, look up patients, assess, merge.
``worklist``    its rows, checked.
``image_plan``  what determines such a run.
``image_units``  the list cut into units, patients resolved to files.
``image_cases``  a unit to rows, each case through `cds.pipeline`.
``image_rows``  the documented columns, and the rule of the ranking.
``image_rejects``  what could not be assessed, in codes.
``local``       the engine of one machine.
``ray``         the engine of a cluster; `carry` brings failures home from workers of either.
"""

"""What is wrong with a data set, row by row: where it is, why it cannot be used, and how to mend it.

The check reads label files and tables itself, with their row numbers, and decodes every image, so that a damaged file
is found before the first epoch and not in it.

What has two readings is a warning (`Effect.NOTE`): it is kept, and ``cds data check`` does not fail for it. Of 3,553
FracAtlas images these are 49 that end in a decoder's flat grey, as a file does that was cut short and saved again
(``data.image.cut_short``), and 31 pairs that look like one picture although they lie in different id blocks, so that a
split by block may part them (``data.image.near_duplicate``). Two of the pairs carry opposite labels and are named as
that (``data.image.near_contradiction``): IMG0002738 and IMG0004121, of which all bits of the hash agree, and IMG0002979
and IMG0004290. `imaging.training.splits.near_duplicates` says what such a hash can and cannot tell.

Map
---
``findings``   a finding, its effect, and the report of all findings.
``files``      single image files: decodable, with content, no copy of another.
``builder``    what both layouts have in common.
``fracatlas``  FracAtlas' official folder layout.
``tables``     ``images.csv`` + ``boxes.csv``.
``check``      `audit` (check a folder), `announce` (and say what was found), `clean` (leave out what cannot be used),
               `vet` (all of these, for a training).
"""

from imaging.training.audit.check import REPORT_NAME, BadData, announce, audit, clean, vet
from imaging.training.audit.findings import AuditReport, Effect, Finding

__all__ = ["REPORT_NAME", "AuditReport", "BadData", "Effect", "Finding", "announce", "audit", "clean", "vet"]

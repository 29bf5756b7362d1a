"""What is wrong with a data set, row by row: where it is, why it cannot be used, and how to mend it.

The check reads label files and tables itself, with their row numbers, and decodes every image, so that a damaged file
is found before the first epoch and not in it.

Map
---
``findings``   a finding, its effect, and the report of all findings.
``files``      single image files: decodable, with content, no copy of another.
``builder``    what both layouts have in common.
``fracatlas``  FracAtlas' official folder layout.
``tables``     ``images.csv`` + ``boxes.csv``.
``check``      `audit` (check a folder), `clean` (leave out what cannot be used), `vet` (both, for a training).
"""

from imaging.training.audit.check import REPORT_NAME, BadData, audit, clean, vet
from imaging.training.audit.findings import AuditReport, Effect, Finding

__all__ = ["REPORT_NAME", "AuditReport", "BadData", "Effect", "Finding", "audit", "clean", "vet"]

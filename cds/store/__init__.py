"""What is kept of assessed cases: a database and a folder of files by content; optional, only services open it.

Map
---
``opening``    `open_store`: all of it at once.
``database``   opens SQLite (by default) or PostgreSQL, migrates, hands out transactions.
``tables``     the tables as SQLAlchemy sees them; ``migrations`` builds them (Alembic).
``blobs``      images, records and reports on disk, named by their SHA-256.
``cases``      finished cases: save, find, sign, read again.
``jobs``       accepted work that survives a crash: submit, claim, finish, cancel.
``feedback``   what clinicians say about findings and outcomes; nothing is ever overwritten.
``privacy``    one patient's data: export, erasure with proof, retention.
"""

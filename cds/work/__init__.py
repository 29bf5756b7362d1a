"""Cases as services take them in, keep them, and work on them beside the web process; only services import it.

Map
---
``requests``    a case as it came over the wire, and as a document that a job or a kept case carries.
``keeping``     a finished case into the store, with its reports; later reports from what was kept.
``gate``        how many assessments may run and wait in the web process.
``steps``       engines that say which step they are at, and stop when they are told to.
``worker``      one process that takes jobs from the store.
``supervisor``  starts worker processes, replaces those that end, stops them in order.
"""

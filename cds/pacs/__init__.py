"""The PACS as a peer on the network: radiographs from it, results to it.

Map
---
``send``          files to a PACS by C-STORE, each until it is stored or refused for good.
``destinations``  where results go: C-STORE or STOW-RS; what of a failure waiting may mend.
``listener``      takes instances from the network (C-STORE and C-ECHO provider); ``callers`` says from whom.
``intake``        one instance into the queue, once; ``selection`` decides from its header what it is.
``queue``         kinds of job, their keys, how the queue stands.
``worker``        assesses what is queued, sends what was made; ``service`` starts and stops it all.
``pull``          radiographs by C-FIND with C-MOVE or C-GET; ``pull_web`` by DICOMweb; ``folder`` keeps them.
``worklist``      which studies a person should read first.
``tls``           certificates of both sides.

An instance is on the disk before its sender hears success; every step may be cut off and done again, and makes nothing
twice. Importing this package loads no framework; import the module you need.
"""

"""The PACS as a peer on the network.

Map
---
``send``     files to a PACS by C-STORE, each until it is stored or refused for good.

Importing this package loads no framework; import the module you need.
"""

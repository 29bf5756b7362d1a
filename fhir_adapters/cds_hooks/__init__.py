"""CDS Hooks 2.0.1 on the wire: what a client sends, what a service answers; knows HL7 only.

Map
---
``request``   calls of a service and of its feedback, parsed and checked.
``response``  discovery, cards, suggestions and links, without nulls and without empty elements.
``prefetch``  the templates, and prefetched values to the entries of one record.
``orders``    the draft orders of a call: drugs, and radiographs of a limb.

Importing this package loads nothing; import the module you need.
"""

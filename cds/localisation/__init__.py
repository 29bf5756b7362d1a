"""Words, numbers, dates and units in the reader's language.

Map
---
``language``   which languages there are: `Language`.
``catalogue``  the messages of one language, read from ``messages/<language>.yaml`` and checked.
``localiser``  `Localiser`: a key and its values to a sentence; numbers, percentages, dates and units as written there.
``phrasebook`` templates of English sentences and their translations, from ``statements/`` and ``report/``.
``statements`` the report's English put into another language by these phrases.
``numbers``    numbers of an English sentence as another language writes them.
``errors``     an unknown key or a wrong value is an error, never an empty text.

A message is a text with named ``{placeholders}``, or one text for each plural form of the language (``one``, ``other``)
that the value ``count`` chooses from. Keys are dotted paths into the file. Every language holds the same keys with the
same placeholders (tested).

To add a language: a member of `Language`, a file in each of ``messages/``, ``statements/`` and ``report/``.
"""

"""What clinicians said about cases, to one truth per case, and to training data without identifiers.

Map
---
``readers``       the feedback of one reader on one case, to that reader's view of it.
``truth``         the views of all readers, or an adjudication, to one truth; nothing is guessed.
``reasons``       why a case or a part of it is left out, in words.
``cases``         kept cases with their feedback, what the machine had said, and the disagreements that are open.
``adjudication``  the last word where readers disagree: who may have it.
``outcomes``      follow-ups to a row that ``cds train healing`` learns from.
``pseudonyms``    the key, the names that replace identifiers, the groups that no split may separate.
``pictures``      a radiograph as the reader saw it, without text and without a header.
``rows``          one case, to one row of training data, or the reason why not.
``collecting``    kept cases to rows, their images written on the way.
``tables``        the files of an export, byte by byte the same for the same rows.
``export``        all of it, in one piece or not at all; its docstring is the layout of the folder.
"""

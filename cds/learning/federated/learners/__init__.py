"""What is learnt together.

Map
---
``base``      what every learner can do, and the server's rules for weights.
``rows``      a hospital's table to a matrix on a public grid.
``trees``     boosted trees: each hospital adds some, the server concatenates them.
``linear``    a logistic model, with differential privacy for each person.
``detector``  the fracture detector's weights.
``choose``    the learner and the rules for a kind of model.
"""

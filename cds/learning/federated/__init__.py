"""Several hospitals learn one model over Flower; no image, row or identifier leaves a hospital.

Map
---
``settings``     what a federation is: kind of model, rounds, aggregation, protection; read from YAML.
``wire``         everything that leaves a hospital, listed by kind with its bytes; tensors to bytes and back.
``identity``     a hospital's signing key, the allow-list of the others, signatures over what is sent.
``transport``    Flower's channel: TLS, the loopback rule, no telemetry.
``server``       the rounds: who takes part, what is refused, what becomes of it; ``state`` keeps it on disk.
``aggregation``  many updates to one: bounded weights, norm clipping, median, trimmed mean, Krum.
``masking``      secure aggregation: pairwise masks that cancel in the sum.
``privacy``      the Gaussian mechanism and its accountant.
``client``       a hospital's side: it trains, protects, lists and sends.
``learners``     what is learnt: boosted trees, a logistic model, the detector; a package.
``simulation``   a federation of real processes on one machine.
``errors``       what can go wrong.

What is protected, and what is not
----------------------------------
* Only what `wire` lists leaves a hospital. That is not the same as anonymity: weights and trees are made from patients'
  data, and a curious server can learn something of those data from a single hospital's plain update (membership, and
  for small batches approximate reconstruction).
* Secure aggregation hides the single updates from the server, which sees only their sum. It does not hide the sum, nor
  protect against a server and all hospitals but one acting together, nor against comparing rounds with different
  members. A hospital that does not list the others' keys itself takes the server's word that they are hospitals. The
  server can then no longer refuse a single bad update, so it excludes robust aggregation.
* Differential privacy bounds what the model can tell of one patient (logistic model) or, much more weakly, of one
  hospital's round (detector). Its epsilon is an upper bound under the stated sampling; counts are sent as they are.
* Boosted trees can be neither masked nor noised here. Their thresholds lie on a public grid and every leaf holds at
  least a stated number of people, so that no measured value and no single person is written into a tree.
* Clipping and robust aggregation survive a minority of bad hospitals, no more: a malicious majority, or one allowed
  key in enough hands, decides the model. Poisoning that stays within an honest update's size is not detected. Bad trees
  are bounded in size, not outvoted.
* A result of federation is a candidate like any other and passes the same gate before patients meet it.

Importing this package loads neither Flower nor torch nor xgboost; import the module you need.
"""

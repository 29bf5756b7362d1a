"""Skeletal age from a radiograph of a child's hand.

``engine``        `BoneAgeEngine`: pixels and sex in, `imaging.results.BoneAgeEstimate` out.
``eligibility``   whether it may be read at all, or the reason why not.
``likeness``      whether the picture is a hand like those learned from.
``standards``     chronological age beside it: standard deviations and verdict.
``conformal``     what a stated scale must be multiplied by for an interval to hold what it promises.
``network``, ``preprocess``, ``module``, ``data``, ``training``   how the networks learn, fold by fold.
``release``, ``manifest``, ``figures``, ``evaluate``              what ships, and how good it is.
``errors``        the error tree.
"""

"""The REST API below ``/api``, health and metrics.

Map
---
``routes``    what every route shares: errors in one shape, and what the description says of them.
``schemas``   the JSON that is answered.
``intake``    one case out of a request: multipart or JSON.
``assess``    ``POST /api/assess``.
``jobs``      ``/api/jobs``: work that outlives its request.
``cases``     ``/api/cases``: what was kept, its files and reports, signatures.
``feedback``  what clinicians say about a case.
``models``    ``GET /api/models``.
``health``    ``/healthz``, ``/readyz``, ``/metrics``.
``requests``  counts requests by route.
``elsewhere`` every other address below ``/api``.
"""

"""Ways in: each parses its input, calls `cds.pipeline.handle_case`, and hands the result to one presenter.

Map
---
``cli``             the ``cds`` command.
``model_commands``  ``cds train`` and ``cds evaluate``.
``console``         what the commands share: reading inputs, explaining failures.
``web``             the HTTP service: API and health.
``form``            the web form.
"""

"""Ways in: each parses its input, calls `cds.pipeline.handle_case`, and hands the result to one presenter.

Map
---
``cli``             the ``cds`` command.
``model_commands``  ``cds train`` and ``cds evaluate``.
``assess``          the work behind ``cds assess``.
``screen_server``   ``cds screen --fhir-server``: an export for as long as the screening lasts.
``listing``         ``cds evidence``.
``console``         what the commands share: reading inputs, explaining failures.
``web``             the HTTP service: API and health.
``form``            the web form.
``service``         what API and form share: raw inputs to one result.
``hooks``           CDS Hooks over HTTP; ``hooks_service`` answers one call of it.
``problems``        errors on the wire.
``tls_reload``      takes a renewed certificate up while the service runs.
``guards``          size limit and privacy headers.
``auth``            the gate in front of every route, the login page, rate limits; ``auth_audit`` notes who opened what.
``oidc_login``      the form's login at the hospital's OpenID Connect issuer; ``launch`` SMART App Launch from an EHR.
``access_commands`` ``cds access``; ``audit_commands`` ``cds audit``; ``privacy_commands`` ``cds privacy``.
"""

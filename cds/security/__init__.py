"""Who may do what, and what is remembered of it.

Map
---
``roles``       viewer, clinician, admin; who is asking (`Principal`).
``access``      the gate: credentials to principal; refuses binds that would let everybody in.
``api_keys``    keys in the store, by digest; ``oidc`` bearer tokens of an issuer; ``sessions`` of browsers.
``pages``       the page to log in with; ``authorization_code`` logins that the browser makes elsewhere (PKCE).
``limits``      how often one may ask.
``secrets``     secrets from the environment or files, and which are too weak.
``addresses``   which servers may be asked (allow-list, also after redirects and for what a name resolves to).
``pinning``     connects to the address that was judged, so that a name cannot change its mind in between.
``files``       what an uploaded or stored file really is, and how it may be served.
``cells``       text in tables that a spreadsheet would run.
``events``      FHIR AuditEvents after IHE BALP; `cds.audit_chain` keeps them, `cds.audit` keeps the lines beside.
"""

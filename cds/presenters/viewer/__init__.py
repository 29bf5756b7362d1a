"""The X-ray viewer and the result page around it, in the browser: no library, and nothing loaded from anywhere.

Map
---
``payload``   what the viewer draws of a case, as plain JSON.
``assets``    the scripts and the style sheet as text: ``viewer.js`` (canvas, window and level, zoom, boxes, heat,
              measurements, drawing), ``workspace.js`` (result, judgements, own read, exports), ``history.js`` (kept
              cases), ``viewer.css``.
"""

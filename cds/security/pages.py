"""The page a browser logs in with, and the one that says why it was not let in: no script, nothing from elsewhere."""

from html import escape

LOGIN_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""Content Security Policy of the page."""

_STYLE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fracture-cds: log in</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem; color: #16222e }}
label, input, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit }}
input {{ margin: .3rem 0 1rem; padding: .6rem; border: 1px solid #5b6b7b; border-radius: .3rem }}
button {{ padding: .7rem; border: 0; border-radius: .3rem; background: #0b5394; color: #fff }}
:focus-visible {{ outline: 3px solid #f0a30a; outline-offset: 2px }}
[role=alert] {{ border-left: .3rem solid #b3261e; padding: .3rem .8rem; background: #fdecea }}
.elsewhere a {{ display: block; padding: .7rem; border-radius: .3rem; text-align: center }}
.elsewhere a {{ background: #0b5394; color: #fff }}
</style></head><body><main>
"""
_PAGE = (
    _STYLE
    + """<h1>Limb fracture decision support</h1>{problem}{elsewhere}
<form method="post" action="/login">
<label for="password">Access token or key</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{target}">
<button type="submit">Log in</button>
</form>
<p><small>Ask the administrator of this service for a key. Investigational, not for diagnostic use.</small></p>
</main></body></html>
"""
)
_TROUBLE = (
    _STYLE
    + """<h1>{title}</h1>
<p role="alert">{text}</p>
<p><a href="/">To the form</a></p>
</main></body></html>
"""
)


def login_page(target: str, problem: str = "", elsewhere: str | None = None) -> str:
    """The page.

    Args:
        target: path to go to afterwards.
        problem: what was wrong with the last try; empty for nothing.
        elsewhere: path that leads to the login of the hospital; None for none.
    """
    told = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    link = (
        ""
        if elsewhere is None
        else f'<p class="elsewhere"><a href="{escape(elsewhere, quote=True)}">Log in with your hospital account</a></p>'
    )
    return _PAGE.format(target=escape(target, quote=True), problem=told, elsewhere=link)


def trouble_page(title: str, text: str) -> str:
    """Why somebody was not let in.

    Args:
        title: what could not be done.
        text: why, and what to do.
    """
    return _TROUBLE.format(title=escape(title), text=escape(text))

"""``cds fhir``: what the operator of a FHIR server needs from us."""

from pathlib import Path
from typing import Annotated

import typer

from cds.entrypoints.console import failures_explained

fhir_app = typer.Typer(no_args_is_help=True, help="Register with a FHIR server.")


@fhir_app.callback()
def _group() -> None:
    """Keeps the name of the single command."""


@fhir_app.command()
def jwks(
    key: Annotated[list[Path], typer.Option(help="Private key, PEM or JWK; repeat for a key that is being replaced.")],
    key_id: Annotated[
        str | None, typer.Option(help="Its 'kid'; by default that of the JWK, or the thumbprint.")
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write to this file instead of printing.")] = None,
) -> None:
    """Print the public key set (JWKS) that a server's operator registers; never the private part."""
    with failures_explained():
        import json

        from cds.artifacts import write_artifacts
        from cds.errors import InputError
        from fhir_adapters.client.keys import jwks as public_set
        from fhir_adapters.client.keys import load_key

        if key_id is not None and len(key) > 1:
            raise InputError("One key id was given for several keys.", remedy="Leave --key-id out, or give one key.")
        text = json.dumps(public_set([load_key(path, key_id=key_id) for path in key]), indent=2) + "\n"
        if out is None:
            typer.echo(text, nl=False)
        else:
            write_artifacts(out.parent, {out.name: text.encode()}, inputs=key)

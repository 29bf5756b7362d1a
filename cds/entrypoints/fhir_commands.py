"""``cds fhir``: what the operator of a FHIR server needs from us."""

from pathlib import Path
from typing import Annotated

import typer

from cds.entrypoints.console import failures_explained

fhir_app = typer.Typer(no_args_is_help=True, help="Register with a FHIR server, and send reports to it.")


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


@fhir_app.command()
def send(
    bundle: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A bundle.json that cds wrote.")],
    fhir_server: Annotated[
        str | None, typer.Option(metavar="URL", help="FHIR R4 server that holds the patient.")
    ] = None,
    fhir_token_file: Annotated[Path | None, typer.Option(dir_okay=False, help="File with a bearer token.")] = None,
    fhir_client_id: Annotated[str | None, typer.Option(help="Client id of SMART Backend Services.")] = None,
    fhir_key: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Its private key, PEM or JWK (RS384, ES384).")
    ] = None,
    patient_id: Annotated[
        str | None, typer.Option(help="Whom the bundle must be about; another one is refused.")
    ] = None,
) -> None:
    """Send a report to the FHIR server: all of it is stored, or nothing, and nothing twice.

    Everything arrives as a draft or as preliminary, for a clinician to confirm.
    """
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.entrypoints.console import read_input
        from cds.errors import InputKind
        from cds.options import ServerOptions
        from cds.sending import send_bundle, told

        options = ServerOptions(
            fhir_server=fhir_server,
            fhir_token_file=fhir_token_file,
            fhir_client_id=fhir_client_id,
            fhir_key_file=fhir_key,
        )
        settings = load_settings(**options.settings())
        raw = read_input(bundle, InputKind.RECORD, limit_bytes=settings.max_record_bytes)
        typer.echo(told(send_bundle(settings, raw or b"", patient_id=patient_id)))

"""``cds access``: who may use the service."""

import getpass
from datetime import datetime
from typing import Annotated

import typer

from cds.entrypoints.console import failures_explained
from cds.security.roles import Role

access_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may use the service.")
key_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="API keys: made, listed, revoked.")
access_app.add_typer(key_app, name="key")


def _expiry(text: str) -> datetime:
    """``90d``, or ISO 8601; a time without an offset is taken in this machine's time zone."""
    from datetime import timedelta

    if text[-1:].lower() == "d" and text[:-1].isdigit() and 1 <= int(text[:-1]) <= 36_500:
        return datetime.now().astimezone() + timedelta(days=int(text[:-1]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("neither a number of days such as 90d nor an ISO 8601 date") from None
    return moment.astimezone() if moment.tzinfo is None else moment


@key_app.command("create")
def create(
    name: Annotated[str, typer.Option(help="Who uses it, such as pacs-gateway.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    expires: Annotated[
        datetime | None,
        typer.Option(parser=_expiry, metavar="90d|ISO-8601", help="When it stops working; never by default."),
    ] = None,
) -> None:
    """Make a key and print it, this one time."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.security.api_keys import ApiKeys
        from cds.store.database import open_database

        database = open_database(load_settings())
        try:
            made = ApiKeys(database).create(name, role, created_by=f"cli:{getpass.getuser()}", expires=expires)
        finally:
            database.close()
        typer.echo(made.secret)
        typer.echo(f"Key {made.key.id}, {made.key.role.value}. It is not shown again.", err=True)


@key_app.command("list")
def list_keys() -> None:
    """Every key with its role and state; never the key itself."""
    with failures_explained():
        from datetime import UTC

        from cds.bootstrap import load_settings
        from cds.security.api_keys import ApiKeys
        from cds.store.database import open_database

        database = open_database(load_settings())
        try:
            keys = ApiKeys(database).listed()
        finally:
            database.close()
        now = datetime.now(UTC)
        for one in keys:
            state = "revoked" if one.revoked else "works" if one.good(now) else "expired"
            until = "" if one.expires is None else f", until {one.expires:%Y-%m-%d %H:%M} UTC"
            typer.echo(f"{one.id}  {one.role.value:<9}  {state:<7}  {one.name}  (by {one.created_by}{until})")


@key_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="Identifier from 'cds access key list'.")]) -> None:
    """Stop a key from working, at once and for good."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.security.api_keys import ApiKeys
        from cds.store.database import open_database

        database = open_database(load_settings())
        try:
            key = ApiKeys(database).revoke(key_id)
        finally:
            database.close()
        typer.echo(f"revoked: {key.id} ({key.name})")

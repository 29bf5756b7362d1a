"""Secrets: from the environment or a file, never from the command line, and never one that everybody knows."""

import ssl
from pathlib import Path

from cds.errors import SettingsError
from cds.settings import Settings

MIN_LENGTH = 16
MIN_DISTINCT = 6
_KNOWN = frozenset(
    {
        "admin",
        "administrator",
        "changeit",
        "changeme",
        "default",
        "demo",
        "example",
        "fracturecds",
        "guest",
        "letmein",
        "orthanc",
        "pass",
        "password",
        "postgres",
        "qwerty",
        "replaceme",
        "root",
        "secret",
        "test",
        "token",
        "welcome",
        "yourtokenhere",
    }
)


def weak_secret(secret: str, *, least: int = MIN_LENGTH) -> bool:
    """Whether a secret is a well-known default, too short, or of too few different characters.

    Args:
        secret: what to judge.
        least: fewest characters.
    """
    plain = "".join(one for one in secret.lower() if one.isalpha())
    known = plain in _KNOWN or any(plain == word * times for word in _KNOWN for times in (2, 3))
    return known or len(secret) < least or len(set(secret)) < min(MIN_DISTINCT, least)


def access_token(settings: Settings) -> str | None:
    """The shared access token; its file wins over the environment. None where there is none.

    Raises:
        SettingsError: the file cannot be read or is empty.
    """
    if settings.access_token_file is None:
        return None if settings.access_token is None else settings.access_token.get_secret_value()
    try:
        token = settings.access_token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token:
        raise SettingsError(
            "The file of the access token cannot be read, or is empty.",
            remedy="Check FRACTURE_CDS_ACCESS_TOKEN_FILE and who may read that file.",
        )
    return token


def tls_files(settings: Settings) -> tuple[Path | None, Path | None]:
    """Certificate and key that the service speaks https with; both None where a proxy in front does.

    Raises:
        SettingsError: one is missing or cannot be read, or they do not belong together.
    """
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    if certificate is None and key is None:
        return None, None
    try:
        if certificate is None or key is None:
            raise ValueError("one of two")
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):  # an ssl.SSLError is an OSError
        raise SettingsError(
            "The certificate or its key cannot be used.",
            remedy="Set FRACTURE_CDS_TLS_CERT_FILE and FRACTURE_CDS_TLS_KEY_FILE to PEM files that belong together.",
        ) from None
    return certificate, key

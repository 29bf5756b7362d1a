"""Alembic's folder: `env` and the versions, oldest first."""

"""Logins under way, sessions and launches, sealed: they outlast a restart and are shared by several processes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; who was logged in before logs in again."""
    op.create_table(
        "lockers",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=120), nullable=False),
        sa.Column("ends", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lockers")),
    )
    op.create_index(op.f("ix_lockers_ends"), "lockers", ["ends"], unique=False)
    op.create_index(op.f("ix_lockers_kind"), "lockers", ["kind"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("lockers")

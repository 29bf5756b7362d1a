"""The figures of a reference, which outlive its cases."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; references set before have none."""
    with op.batch_alter_table("drift_references") as table:
        table.add_column(sa.Column("figures", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("drift_references") as table:
        table.drop_column("figures")

"""What a model that runs silently says of cases."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "shadow_differences",
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=255), nullable=False),
        sa.Column("current", sa.String(length=255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("current_call", sa.String(length=120), nullable=False),
        sa.Column("candidate_call", sa.String(length=120), nullable=True),
        sa.Column("current_probability", sa.Double(), nullable=True),
        sa.Column("candidate_probability", sa.Double(), nullable=True),
        sa.Column("box_iou", sa.Double(), nullable=True),
        sa.Column("hardness", sa.Double(), nullable=False),
        sa.Column("error", sa.String(length=120), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.id"], name=op.f("fk_shadow_differences_case_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("case_id", "candidate", name=op.f("pk_shadow_differences")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("shadow_differences")

"""How Alembic runs: on the connection that `cds.store.database` opened, never on its own."""

from alembic import context

from cds.store.tables import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=False,
)
context.run_migrations()

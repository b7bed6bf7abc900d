"""What Alembic runs: the steps, on the connection and in the transaction that `store.migrate` opened."""

from alembic import context

from copilot_socket.store.rights import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()

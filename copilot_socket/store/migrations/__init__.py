"""The database's schema, one plain SQL file a step: `versions/NNNN_name.sql`, run by the `.py` beside it.

A new step is two files: the SQL, and a copy of the last step's `.py` with its `down_revision` moved on.
There is no way back down: restore a backup, or write the next step.
"""

from contextlib import closing
from pathlib import Path

from alembic import op

__all__ = ["run_sql_beside"]


def run_sql_beside(revision_file: str) -> None:
    """Run the `.sql` file beside a revision file, verbatim, on the connection that migrates."""
    statements = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    # By a bare cursor and without parameters, so that % and : in the SQL mean nothing but themselves.
    with closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(statements)

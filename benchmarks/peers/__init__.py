"""Who else does the work: one module each, and as limits what PostgreSQL does when nobody is in its way."""

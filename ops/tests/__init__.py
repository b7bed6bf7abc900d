"""Every file of ``ops/``, run by the real tool that reads it: ``tox run -e ops``."""

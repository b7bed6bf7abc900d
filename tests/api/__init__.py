"""A node under schemathesis: requests made from the API's description, allowed and not (``tox run -e api``)."""

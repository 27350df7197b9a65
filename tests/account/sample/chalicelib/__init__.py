"""Empty on purpose: Chalice packages it."""

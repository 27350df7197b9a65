"""Stand-ins for the ports, kept honest by tests/contract."""

"""`python -m annex_client`."""

from annex_client.cli import main

main()

"""``python -m filestore``: the command `filestore`."""

from filestore.cli.main import main

main()

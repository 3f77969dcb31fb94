"""The command `filestore`: a data directory at home in a shell. Works on the files alone."""

"""The disk: names, bytes, exclusion and the derived index.

Nothing in here knows constelite or model classes; these modules handle model names, uids and JSON
documents, so that tools which work on files alone start fast.
"""

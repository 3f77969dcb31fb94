"""Tests of FileStore; one module for each module of the package, and one for each kind of proof."""

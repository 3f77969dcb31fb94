"""Measurements beside other stores."""

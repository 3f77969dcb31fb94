"""Faults caused on purpose: kills, failing system calls, power cuts, full disks, races."""

"""Stands in for torchvision where it does not import beside the installed torch (no build fits it).

A trainer that is measured as a peer uses three of its transforms, and only while it reads its pictures. It is
put on the peer's path by `benchmarks/peer.py`, never on ours.
"""

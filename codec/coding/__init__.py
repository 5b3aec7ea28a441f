"""Pixels <-> payloads."""

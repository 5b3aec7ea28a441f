"""Bytes of an .aec file <-> header, metadata and payloads. The standard library only."""

"""The container format: bytes of an .aec file <-> header, metadata and payloads. Uses the standard library only."""

"""Pictures as people have them <-> arrays [H, W, C]. No torch in here."""

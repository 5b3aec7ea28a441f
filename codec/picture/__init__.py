"""Pictures as people have them <-> samples."""

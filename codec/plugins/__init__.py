"""How other programs and libraries read and write .aec files."""

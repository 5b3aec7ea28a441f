"""The networks in floating point, as they are trained, and their integer versions. Everything here needs torch."""

"""The networks as they are trained, and their integer twins. torch."""

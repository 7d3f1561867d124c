"""The room of the chapter *spectral*."""

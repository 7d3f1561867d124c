"""The room of the chapter *tilting*."""

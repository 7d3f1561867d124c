"""The room of the chapter *density*."""

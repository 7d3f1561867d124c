"""The room of the chapter *protocol*."""

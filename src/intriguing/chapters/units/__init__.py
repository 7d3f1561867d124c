"""The room of the chapter *units*."""

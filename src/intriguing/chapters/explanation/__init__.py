"""The room of the chapter *explanation*."""

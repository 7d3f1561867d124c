"""The room of the chapter *bounded*."""

"""The room of the chapter *photographs*."""

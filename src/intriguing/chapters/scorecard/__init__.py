"""The room of the chapter *scorecard*."""

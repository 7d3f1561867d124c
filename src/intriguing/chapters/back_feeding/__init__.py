"""The room of the chapter *back_feeding*."""

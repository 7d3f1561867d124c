"""From text to page: executing, stamping and publishing the chapters, and the commands."""

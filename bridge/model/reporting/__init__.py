"""What was measured, with tables, pictures and the page that tells it."""

"""What columns each target has: those there, those asked for, those that new attributes bring."""

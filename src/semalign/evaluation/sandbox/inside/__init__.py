"""What runs inside bubblewrap: standard library only, and nothing else of this project."""

"""What the processes say to each other. Standard library and pydantic only."""

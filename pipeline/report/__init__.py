"""The run folder as one HTML file."""

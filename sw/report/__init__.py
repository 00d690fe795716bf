"""Reports and generated documentation pages."""

"""Host software: specifications, reference models, files and the command line."""

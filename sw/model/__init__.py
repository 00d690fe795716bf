"""Reference models: plain Python that decides what gateware has to do."""

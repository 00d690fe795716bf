"""Host drivers: clock, latency histogram, later packet input and output."""

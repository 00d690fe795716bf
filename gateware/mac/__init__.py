"""Stage `mac`: between the pins of a GMII PHY and the frame words of the core."""

"""The host side: a device over any transport, its telemetry, and the order session."""

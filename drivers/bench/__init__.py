"""The benchmark of the ports: round trips and one-way rates of every backend, as ratios to a spinning UDP socket."""

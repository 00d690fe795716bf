"""Single sources of protocols, registers, limits and reasons; standard library only."""

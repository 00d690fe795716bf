"""The tickgate command: the launcher and the subcommands that need only host software."""

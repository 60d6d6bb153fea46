"""One module per subcommand of `pyrover-agent`."""

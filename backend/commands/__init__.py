"""One module per subcommand of `pyrover-backend`."""

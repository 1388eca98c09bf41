"""The command line: one module a subcommand, which parses, calls and shows. Heavy libraries load when one runs."""

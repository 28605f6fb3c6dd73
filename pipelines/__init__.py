"""Ray jobs, command line, recipes, engine registry, report: the only package that knows Ray."""

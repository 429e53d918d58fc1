"""Who may do what: roles, passwords, sessions. No web framework in here: the command line uses it too."""

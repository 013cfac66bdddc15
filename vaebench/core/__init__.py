"""What every room may use: errors, registries, hyperparameters, plugins, memory."""

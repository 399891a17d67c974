"""The recipe: one YAML file that says how a model is made, strictly checked."""

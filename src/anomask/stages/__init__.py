"""The two training stages as LightningModules."""

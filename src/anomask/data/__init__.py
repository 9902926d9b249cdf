"""Everything about slices before the model sees them: folders, checks, loading, volumes, phantom, transplants."""

"""What happens beside training: pictures."""

"""What happens now, event by event: a run as it goes, and the explorer around it."""

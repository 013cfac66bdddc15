"""What can be known of a registered entry without running a study."""

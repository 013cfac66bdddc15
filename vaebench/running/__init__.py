"""Studies run: from configurations to records, on one machine or many."""

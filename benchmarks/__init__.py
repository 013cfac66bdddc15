"""Programs that measure vaebench: a folder for each question, and pytest-benchmark files beside."""

"""The race: vaebench and other systems on the same work, one thread each; `nox -s peers`."""

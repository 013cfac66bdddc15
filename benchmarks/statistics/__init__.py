"""Do the intervals and tests of `vaebench compare` hold the rates that they state?"""

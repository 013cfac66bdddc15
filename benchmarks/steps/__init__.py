"""Where does the time of a training step go?"""

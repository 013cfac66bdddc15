"""How fast is the evaluation, and what do its dear gradings cost in full?"""

"""What does training in bfloat16 save, and what does it do to the held-out figures?"""

"""What does a step of a user's own network cost beside plain PyTorch, alone and in stacks?"""

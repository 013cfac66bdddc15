"""What does the harness add to training and grading?"""

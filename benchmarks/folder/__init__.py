"""How long do the commands that read a results folder take, when it holds 100,000 records?"""

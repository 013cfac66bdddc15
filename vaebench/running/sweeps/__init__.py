"""Sweeps: every variant of a study tuned by a search of its own, with the same budget.

variants   what is tuned, each with the space of its search
samplers   what chooses trials; pruners: what ends them early, and in which stages they train
storage    where trials are kept; search: one variant's trials, asked and told by slots
rounds     a batch of every variant at once, trained side by side; place: where and how
finals     the best trials and the untuned variants, on fresh seeds, graded in full
tables     what is written at the end
sweep      all of it, from a study to a folder
"""

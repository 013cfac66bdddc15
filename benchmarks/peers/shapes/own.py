"""A user's file for the race: it registers the module that plain PyTorch trains beside."""

import vaebench as vb
from benchmarks.networks.modules import plain

vb.model()(plain)

"""Bias, variance and signal-to-noise of gradient estimators, all on the same weights and data.

Only the noise of the posterior's samples varies: the weights and the minibatch are fixed. Encoder
and decoder are reported apart, since what helps the one may hurt the other (Rainforth et al. 2018).
"""

from vaebench.diagnostics.gradients.measure import measure
from vaebench.diagnostics.gradients.plan import GradientPlan, plan, read_configs

__all__ = ["GradientPlan", "measure", "plan", "read_configs"]

"""A study that trains in a moment, as text."""

from pathlib import Path


def study_text(
    data: Path,
    *,
    name: str = "s",
    objective: str = "elbo",
    num_steps: int = 12,
    num_samples: int = 3,
    num_images: int = 20,
    more: str = "",
) -> str:
    """A study of one small model on binary images; `more` is what follows its [base]."""
    return f"""
name = "{name}"
[base]
objective = "{objective}"
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = {num_steps}, batch_size = 16 }}
evaluate = {{ num_samples = {num_samples}, num_images = {num_images} }}
data = {{ name = "{data}", binarisation = "static" }}
{more}"""

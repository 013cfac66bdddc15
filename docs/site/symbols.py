"""What the symbols of a formula mean, said on its page where the formula has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Symbol:
    """A symbol, and what it stands for: in a sentence, or by a formula of its own."""

    sign: str
    """A regular expression that finds it in LaTeX."""
    words: str = ""
    definition: str = ""


def letter(name: str) -> str:
    """The expression that finds a letter alone: not within a command, nor as a calligraphic one."""
    return rf"(?<![A-Za-z\\])(?<!\\mathcal\{{){name}(?![A-Za-z])"


DISTORTION, RATE, WEIGHT = r"\\mathcal\{D\}", r"\\mathcal\{R\}", "w_k"
DIMENSIONS = Symbol(letter("D"), "A code z has D dimensions or variables.")
LAYERS = Symbol(r"L-1|\\mathcal\{R\}_\{bl\}", "There are L layers of latents, z_1 beside x.")
OF_BOUNDS = (
    Symbol(f"{letter('K')}|z_k|{WEIGHT}|{DISTORTION}", "z_1 to z_K are samples of q(z|x)."),
    Symbol(WEIGHT, definition=r"w_k = \frac{p(x|z_k) \, p(z_k)}{q(z_k|x)}"),
    Symbol(r"\\tilde\{w\}", definition=r"\tilde{w}_k = \frac{w_k}{\sum_j w_j}"),
    Symbol(DISTORTION, definition=r"\mathcal{D} = -\frac{1}{K} \sum_{k=1}^{K} \log p(x|z_k)"),
    Symbol(RATE, definition=r"\mathcal{R} = \mathrm{KL}[q(z|x) \,\|\, p(z)]"),
)
SYMBOLS: Mapping[str, Sequence[Symbol]] = {
    "objectives": (
        *OF_BOUNDS,
        DIMENSIONS,
        LAYERS,
        Symbol(letter("B"), "A minibatch has B examples."),
        Symbol("b=1", "Example b of the minibatch has the index b."),
        Symbol(letter("N"), "There are N training examples."),
        Symbol(r"\\theta", "Theta are the decoder's parameters."),
        Symbol(r"\\phi", "Phi are the encoder's parameters."),
        Symbol(r"\\nabla", "A gradient that is not written out is that of the loss."),
        Symbol(r"\\mu\(x", "The mean of q(z|x) is mu(x)."),
        Symbol(r"\\sigma\^2\(x", "Its variances are sigma^2(x)."),
        Symbol(r"\\lambda_\{od\}", "Lambda_od is `off_diagonal`, lambda_d `diagonal`."),
        Symbol(r"\\mathcal\{R\}_\{bl\}", "R_bl is the rate of layer l for example b."),
        Symbol(r"\\mathrm\{KL\}_\{jb\}", "KL_jb is the rate of group j for example b."),
        Symbol("MMD", "MMD^2 is that of q(z) and p(z) with the kernel k, estimated without bias."),
        Symbol(r"\\hat\{q\}\(z_\{kd\}", "q(z_kd) under the hat is the same of dimension d alone."),
        Symbol(
            r"\\omega",
            "Of the values of omega_j the first is for the code's own example, the third for one "
            "neighbour of it, the second for all others.",
        ),
        Symbol(r"f\(z\)", "The discriminator is f."),
    ),
    "likelihoods": (
        Symbol(letter("P"), "An example x has P pixels or other numbers."),
        Symbol("(?<![A-Za-z])o_", "The numbers o are what the decoder gives."),
        Symbol("(?<![A-Za-z])m_", "m_p is the mean, or location, of number p."),
        Symbol(r"(?<![A-Za-z])s_(p|\{p)", "s_p is a scale, from the decoder."),
        Symbol(r"\\sigma_p", "sigma_p is a standard deviation, from the decoder."),
        Symbol("(?<![A-Za-z])a_p", "a_p and b_p are from the decoder, softly kept above 0.1."),
        Symbol("r_p", "r_p is the size of a negative binomial law (NB), from the decoder."),
        Symbol(r"\\pi_\{pc\}", "pi_pc are the weights of components, from the decoder."),
        Symbol("K B P", "The mean is over the K samples and B examples of a step."),
    ),
    "posteriors": (
        DIMENSIONS,
        LAYERS,
        Symbol(r"\^\{C\}", "A variable has C values, one-hot."),
        Symbol(r"p_\{dc\}", "p_dc are the prior's probabilities."),
        Symbol("g_d", "g are Gumbel variables."),
        Symbol("q_0", "q_0 is a Gaussian with independent dimensions, z_0 a sample of it."),
        Symbol("z_T", "There are T maps (`model.flow_steps`)."),
        Symbol(
            "g_t",
            "g_t and m_t, gates and means, come from a masked network: those of a "
            "dimension depend on the dimensions before it. The dimensions are reversed after "
            "each map.",
        ),
        Symbol(r"\\hat\{u\}", "The hat is on a u moved along w so that w'u is above -1."),
        Symbol("L L", "L is a lower triangle, its diagonal above 0."),
        Symbol(r"\\mu_l\(z_l\)", "mu_l and sigma_l are what a network gives of the layer below."),
        Symbol(
            r"\\hat\\mu",
            "The hats are on what the encoder says of a layer; p(z_l|z_l+1) is "
            "the prior's, and the product is normalised.",
        ),
    ),
    "priors": (
        DIMENSIONS,
        LAYERS,
        Symbol(r"\\log C|z_\{dc\}", "A variable has C values, one-hot."),
        Symbol(r"p_\{dc\}", "The probabilities p_dc are trained."),
        Symbol(r"\\pi_c|(?<![A-Za-z])u_c", "There are C components (`model.num_components`)."),
        Symbol(r"\\pi_c", "Weights, means and variances are trained."),
        Symbol("(?<![A-Za-z])u_c", "The inputs u_c are trained, and q is the encoder's posterior."),
    ),
    "models": (
        Symbol(letter("h") + "|h_", "h are the numbers of a layer."),
        Symbol("A_", "A are weights."),
        Symbol("a_", "a are biases."),
        Symbol(
            r"\\mathrm\{act\}",
            "act is the `activation`, h_0 is x. The decoder is the same in reverse, from z.",
        ),
        Symbol(r"\\ast", "The star is a convolution."),
        Symbol("V x", "V, c, sigma, W and m are trained, and the same for all x."),
    ),
    "gradings": (
        *OF_BOUNDS,
        Symbol(letter("N"), "There are N test images."),
        Symbol("AU", "E[z_d|x] is the posterior mean of dimension d."),
        Symbol(
            r"\\mathrm\{MIG\}",
            "Of F known factors, z_(1) and z_(2) are the dimensions with "
            "the most and second most information on factor v_f, of entropy H(v_f).",
        ),
        Symbol(
            r"\\mathrm\{Frechet\}",
            "m and C are means and covariances of the features of drawn images and of test images.",
        ),
        Symbol(r"\\hat\{y\}", "Of n held-out images, y says which are drawn and which are real."),
        Symbol(
            r"\\hat\{p\}",
            "Each of C chains begins at z_c0 from the prior; beta_t rises from 0 to 1.",
        ),
        Symbol(r"\\tilde\{x\}", "The tilde is on counts that the model draws."),
        Symbol(r"q\^\*", "q* is the best q of its family for each image alone."),
    ),
}
"""What the formulas of each kind of entry may have, in the order in which it is said."""


def explained(kind: str, formula: str) -> Iterator[str]:
    """What the symbols of a formula mean: a paragraph, and a block of formulas."""
    used = [symbol for symbol in SYMBOLS[kind] if re.search(symbol.sign, formula)]
    if words := " ".join(symbol.words for symbol in used if symbol.words):
        yield words
    if definitions := [symbol.definition for symbol in used if symbol.definition]:
        yield "```math\n" + r" \qquad ".join(definitions) + "\n```"

import pytest

from vaebench.core.errors import InputError
from vaebench.core.registry import Registry


@pytest.fixture
def registry() -> Registry[int]:
    registry: Registry[int] = Registry("objective")
    registry.add("beta_elbo", 1)
    return registry


def test_looks_up_what_was_added(registry):
    assert registry["beta_elbo"] == 1
    assert list(registry) == ["beta_elbo"]
    assert "elbo" not in registry


def test_unknown_name_gets_a_near_match(registry):
    with pytest.raises(InputError, match="unknown objective 'beta_elb'; did you mean 'beta_elbo'"):
        registry["beta_elb"]


def test_names_with_commas_in_them_are_told_apart(registry):
    registry.add("elbo, beta 2", 2)
    with pytest.raises(InputError, match=r"known: beta_elbo; elbo, beta 2$"):
        registry["x"]


def test_duplicate_name_is_refused(registry):
    with pytest.raises(InputError, match="unique"):
        registry.add("beta_elbo", 2)

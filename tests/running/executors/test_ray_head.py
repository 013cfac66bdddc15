"""Joining a Ray cluster: its address, its size, and the environment of its workers."""

import contextlib
import socket
import sys
import threading

import pytest

from tests.support.kills import DEADLINE_S
from vaebench.core.errors import InputError
from vaebench.core.settings import VARIABLES
from vaebench.running.executors import ray_head
from vaebench.running.executors.ray_greeting import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NO_RAY,
    Frame,
    check_ray,
)
from vaebench.running.executors.ray_greeting import SETTINGS as SETTINGS_FRAME


@pytest.mark.parametrize("has_cluster", [True, False])
def test_a_cluster_is_given_a_size_only_where_it_is_ours(fake_ray, has_cluster):
    sizes = []

    def init(num_cpus=None, **settings):
        if has_cluster and num_cpus is not None:
            raise ValueError("When connecting to an existing cluster, num_cpus must not be given.")
        sizes.append(num_cpus)

    fake_ray.init = init
    ray_head.joined("", 4)
    assert sizes == [None if has_cluster else 4]


def test_the_environment_of_a_worker_is_that_of_a_local_one(fake_ray, monkeypatch):
    """Settings of threads and memory, the cache, and what the user has set."""
    mine = {"VAEBENCH_NATIVE": "0", "OMP_WAIT_POLICY": "ACTIVE", "XDG_CACHE_HOME": "/some/cache"}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    ray_head.joined("", 1)
    sent = fake_ray.settings["runtime_env"]["env_vars"]
    assert sent.items() >= mine.items()
    assert sent.keys() >= VARIABLES.keys()
    assert not {"PATH", "HOME", "RAY_ADDRESS"} & sent.keys(), "they are the node's own"


@pytest.fixture(params=["nobody", "a web server", "a server of HTTP/2", "one who says nothing"])
def no_ray(request, monkeypatch):
    """The address of what is no Ray, with what is said of it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if request.param == "nobody":
            yield address, "Connection refused"
            return
        server.listen()
        if request.param == "one who says nothing":
            monkeypatch.setattr(ray_head, "REACH_S", 0.1)
            yield address, "timed out"
            return
        if request.param == "a web server":
            answer = threading.Thread(target=refuse, args=(server,), daemon=True)
        else:
            not_found = Frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x8d")
            answer = threading.Thread(target=reply, args=(server, not_found), daemon=True)
        answer.start()
        yield address, NO_RAY
        answer.join()


def refuse(server):
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def reply(server, frame):
    """Greet as HTTP/2 does, and answer one request with a frame."""
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(bytes(Frame(SETTINGS_FRAME, 0, 0, b"")) + bytes(frame))
        connection.recv(1000)


@pytest.mark.parametrize(
    ("status", "is_ray"), [(b"\x010", True), (b"\x0216", True), (b"\x0212", False)]
)
def test_a_server_of_grpc_is_a_ray_head_where_it_knows_its_method(status, is_ray):
    """Done; a token is asked for; an unknown method."""
    ended = Frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88@\x0bgrpc-status" + status)
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=reply, args=(server, ended), daemon=True)
        answer.start()
        refusal = contextlib.nullcontext() if is_ray else pytest.raises(OSError, match=NO_RAY)
        with refusal:
            check_ray(f"127.0.0.1:{server.getsockname()[1]}", DEADLINE_S)
        answer.join()


@pytest.mark.parametrize("by", ["option", "variable", "the cluster started last"])
def test_an_address_where_no_ray_answers_is_a_mistake_in_one_line(
    fake_ray, monkeypatch, no_ray, by
):
    fake_ray.init = lambda **settings: pytest.fail("Ray would try for minutes")
    address, reason = no_ray
    monkeypatch.setenv("RAY_ADDRESS", address if by == "variable" else "")
    monkeypatch.setattr(ray_head, "_started_last", lambda: address)
    with pytest.raises(InputError) as caught:
        ray_head.joined(address if by == "option" else "", 1)
    message = str(caught.value)
    assert message.startswith(f"a Ray cluster must answer at '{address}'; ")
    assert reason in message
    assert ": start it, correct --ray-address or RAY_ADDRESS, or " in message


def test_an_address_is_given_up_within_ten_seconds():
    assert 3 * ray_head.REACH_S < 10, "to connect, to be greeted, and to hear an answer"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:none", "a Ray cluster must answer at '127.0.0.1:none'; invalid literal"),
        ("127.0.0.1:70000", "a Ray cluster must answer at '127.0.0.1:70000'; "),
        (
            "ray://127.0.0.1:1",
            "is HOST:PORT of its head, .* got 'ray://127.0.0.1:1': leave out ray",
        ),
    ],
)
def test_an_address_that_is_none_is_a_mistake_in_one_line(fake_ray, address, message):
    with pytest.raises(InputError, match=message):
        ray_head.joined(address, 1)


def test_what_ray_says_of_a_cluster_that_is_gone_is_said_in_one_line(fake_ray):
    def init(**settings):
        raise ConnectionError("ray could not connect")

    fake_ray.init = init
    with pytest.raises(InputError, match="must take this process; ray could not connect: see"):
        ray_head.joined("", 1)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--executor ray needs Ray: install the extra, .\[ray\]"):
        ray_head.joined("", 1)

"""Switching recording off and on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import elastic.tensor as torch


def recorded() -> bool:
    return (torch.ones(1, requires_grad=True) * 2).requires_grad


def test_the_mode_nests_and_comes_back_also_after_an_error() -> None:
    with torch.no_grad():
        assert not recorded()
        with torch.enable_grad():
            assert recorded()
        with pytest.raises(KeyError), torch.set_grad_enabled(True):
            raise KeyError
        assert not recorded()
    assert recorded()


@pytest.mark.parametrize("decorator", [torch.no_grad(), torch.no_grad, torch.inference_mode()])
def test_decorators(decorator: object) -> None:
    wrapped = decorator(recorded)
    assert not wrapped()
    assert wrapped.__name__ == "recorded"
    assert torch.enable_grad()(recorded)()
    assert torch.is_grad_enabled()


def test_one_object_can_be_entered_again() -> None:
    off = torch.no_grad()
    with off, off:
        assert not recorded()
    assert recorded()


def test_set_grad_enabled_works_at_once() -> None:
    torch.set_grad_enabled(False)
    assert not recorded()
    torch.set_grad_enabled(True)
    with torch.set_grad_enabled(False):
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_each_thread_has_its_own_mode() -> None:
    seen = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: seen.append(recorded()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_infinities_arise_silently_in_any_thread() -> None:
    seen = []

    def divide() -> None:
        x = torch.tensor([1.0, -1.0, 0.0], requires_grad=True)
        seen.append((torch.ones(3) / (x * 0)).tolist())

    thread = threading.Thread(target=divide)
    thread.start()
    thread.join()
    assert str(seen) == "[[inf, -inf, inf]]"


def test_a_generator_is_in_the_mode_but_not_its_caller() -> None:
    @torch.no_grad()
    def numbers() -> Iterator:
        try:
            got = yield torch.is_grad_enabled()
            yield got, torch.is_grad_enabled()
        except KeyError:
            yield "caught", torch.is_grad_enabled()
        return

    running = numbers()
    assert next(running) is False
    assert torch.is_grad_enabled()
    assert running.send(5) == (5, False)
    assert running.throw(KeyError()) == ("caught", False)
    assert list(running) == []
    assert torch.is_grad_enabled()
    numbers().close()


def test_a_class_is_made_in_the_mode() -> None:
    @torch.no_grad()
    class Made:
        def __init__(self) -> None:
            self.enabled = torch.is_grad_enabled()

    assert not Made().enabled

"""torch.fft, stft and istft against numpy, and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import elastic.tensor as torch
from tests.tensor.matrix_ops import CUBE, A, C

CALLS = [
    ("fft", A, {}),
    ("fft", C, {"n": 5, "dim": 0, "norm": "ortho"}),
    ("ifft", C, {"n": 2}),
    ("fft2", CUBE, {"norm": "forward"}),
    ("ifft2", C, {"s": (2, 4)}),
    ("fftn", CUBE, {"s": (3, 2), "dim": (0, 2)}),
    ("ifftn", CUBE, {"norm": "ortho"}),
    ("rfft", A, {"n": 4}),
    ("rfft2", A, {"s": (4, 3)}),
    ("rfftn", CUBE, {"dim": (1, 0)}),
    ("irfft", C, {}),
    ("irfft", C, {"n": 5, "norm": "forward"}),
    ("irfft2", C, {"s": (2, 4)}),
    ("irfftn", C, {"norm": "ortho"}),
    ("hfft", C, {}),
    ("hfft", C, {"n": 5, "norm": "ortho"}),
    ("ihfft", A, {"norm": "forward"}),
]


def in_numpy(name: str, x: np.ndarray, given: dict) -> np.ndarray:
    words = {"dim": "axis" if name.endswith("fft") else "axes"}
    if name.endswith("n") and "s" not in given and "dim" in given:
        given = given | {"s": [x.shape[d] for d in given["dim"]]}
    return getattr(np.fft, name)(x, **{words.get(key, key): v for key, v in given.items()})


@pytest.mark.parametrize(("name", "x", "given"), CALLS)
def test_value_and_gradients(name: str, x: np.ndarray, given: dict) -> None:
    function: Callable = getattr(torch.fft, name)
    np.testing.assert_allclose(
        function(torch.tensor(x), **given), in_numpy(name, x, given), atol=1e-12
    )

    def parts(real: torch.Tensor, imaginary: torch.Tensor | None = None) -> tuple:
        out = function(real if imaginary is None else real + imaginary * 1j, **given)
        return (out.real, out.imag) if out.is_complex() else (out,)

    arrays = (x.real, x.imag) if np.iscomplexobj(x) else (x,)
    leaves = [torch.tensor(np.array(each)).requires_grad_() for each in arrays]
    assert torch.autograd.gradcheck(parts, leaves)


@pytest.mark.parametrize(("back", "there"), [("ihfft2", "hfft2"), ("ihfftn", "hfftn")])
def test_transforms_of_several_dimensions_undo_each_other(back: str, there: str) -> None:
    half = getattr(torch.fft, back)(torch.tensor(CUBE))
    again = getattr(torch.fft, there)(half, s=CUBE.shape[1:] if back == "ihfft2" else CUBE.shape)
    np.testing.assert_allclose(again, CUBE, atol=1e-12)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies(n: int) -> None:
    np.testing.assert_allclose(torch.fft.fftfreq(n, 0.5), np.fft.fftfreq(n, 0.5))
    np.testing.assert_allclose(torch.fft.rfftfreq(n, 0.5), np.fft.rfftfreq(n, 0.5))
    x = torch.arange(n * 3).reshape(n, 3)
    assert torch.fft.fftshift(x).tolist() == np.fft.fftshift(x.numpy()).tolist()
    assert torch.fft.ifftshift(x, 0).tolist() == np.fft.ifftshift(x.numpy(), 0).tolist()


def test_stft_is_the_transform_of_windowed_pieces() -> None:
    x = np.random.RandomState(1).randn(2, 20)
    window = np.hanning(6)
    got = torch.stft(
        torch.tensor(x), 8, 3, 6, torch.tensor(window), center=False, return_complex=True
    )
    pieces = np.stack([x[:, k : k + 8] * np.pad(window, 1) for k in range(0, 13, 3)], -1)
    np.testing.assert_allclose(got, np.fft.rfft(pieces, axis=1), atol=1e-12)


@pytest.mark.parametrize("normalized", [False, True])
def test_istft_undoes_stft(normalized: bool) -> None:
    x = torch.tensor(np.random.RandomState(2).randn(2, 33)).requires_grad_()
    window = torch.tensor(np.hamming(8))

    def there_and_back(signal: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            signal, 8, 2, window=window, normalized=normalized, return_complex=True
        )
        return torch.istft(spectrum, 8, 2, window=window, normalized=normalized, length=33)

    np.testing.assert_allclose(there_and_back(x).detach(), x.detach(), atol=1e-12)
    assert torch.autograd.gradcheck(there_and_back, x)


def test_a_signal_that_is_too_short_is_padded_with_a_warning() -> None:
    spectrum = torch.stft(torch.ones(16), 4, return_complex=True)
    with pytest.warns(UserWarning, match="shorter than the length parameter"):
        assert torch.istft(spectrum, 4, length=20).tolist()[16:] == [1.0, 1.0, 0.0, 0.0]

# ruff: noqa: E501, C408 one line a question
"""What PyTorch 2.13.0 answers to a list of questions, and the asking of them.

`golden.json` holds the answers; the tests ask our stack the same. To add a question write it below
and run `python tests/tensor/golden.py` where PyTorch (extra `peers`) is installed.
A question is Python code; its last expression is what is asked.
"""

from __future__ import annotations

import ast
import copy
import json
import pickle
import warnings
from functools import partial
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("golden.json")
DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16"]
DTYPES += ["float32", "float64", "complex64", "complex128"]

# torch.manual_seed(0) goes before each
RANDOM = """
torch.rand(5)
torch.rand(5, dtype=torch.float64)
torch.rand(2, 3, dtype=torch.float16).float()
torch.rand(5, dtype=torch.bfloat16).float()
torch.randn(3)
torch.randn(())
torch.randn(0)
torch.randn(16)
torch.randn(4, 9)
torch.randn(17, dtype=torch.float64)
torch.randn(19, dtype=torch.float16).float()
torch.randn(32, dtype=torch.bfloat16).float()
torch.randn(4, dtype=torch.bfloat16).float()
torch.randn(100000).double().sum(), torch.randn(100000).double().abs().sum()
torch.cat([torch.randn(3), torch.rand(2), torch.randn(1), torch.randn(2), torch.rand(3)])
torch.randint(0, 10, (10,))
torch.randint(-5, 100000, (3, 4))
torch.randint(7, (4,))
torch.randint(0, 2**40, (5,))
torch.randint(0, 7, (5,), dtype=torch.int32)
torch.randint(0, 7, (5,), dtype=torch.float32)
torch.randperm(20)
torch.randperm(1)
torch.randperm(1000)[::99]
torch.empty(10).uniform_(-2, 3)
torch.empty(10, dtype=torch.float64).uniform_(-0.1, 0.3)
torch.empty(10, dtype=torch.float16).uniform_(-0.1, 0.3).float()
torch.empty(20).normal_(2, 3)
torch.empty(5).normal_(2, 3)
torch.empty(20).bernoulli_(0.3)
torch.empty(11).bernoulli_(torch.linspace(0, 1, 11))
torch.bernoulli(torch.linspace(0, 1, 11))
torch.bernoulli(torch.linspace(0, 1, 11, dtype=torch.float64))
torch.empty(5, dtype=torch.int64).random_()
torch.empty(5, dtype=torch.int32).random_()
torch.empty(5, dtype=torch.uint8).random_()
torch.empty(5, dtype=torch.bool).random_()
torch.empty(5).random_()
torch.empty(5, dtype=torch.float64).random_()
torch.empty(5, dtype=torch.float16).random_().float()
torch.empty(5, dtype=torch.bfloat16).random_().float()
torch.empty(5).random_(10)
torch.empty(5).random_(2, 9)
torch.empty(5, dtype=torch.int64).random_(2**33, 2**50)
torch.empty(5, dtype=torch.int64).random_(5, None)
torch.empty(10).exponential_(2.0)
torch.multinomial(torch.tensor([0.1, 0.2, 0.3, 0.4]), 3)
torch.multinomial(torch.rand(3, 10), 4)
torch.multinomial(torch.tensor([0.1, 0.2, 0.3, 0.4]), 12, replacement=True)
torch.multinomial(torch.rand(2, 6), 5, replacement=True)
torch.normal(torch.arange(20.0), torch.arange(20.0) + 1)
torch.normal(0.5, torch.arange(20.0) + 1)
torch.normal(1.0, 2.0, (4, 5))
torch.empty(4, 6).t().normal_()
torch.empty(4, 6).t().uniform_()
torch.empty(4, 6)[:, ::2].normal_()
torch.empty(4, 6)[:, ::2].uniform_()
torch.empty(2, 3, 4).permute(2, 0, 1).uniform_()
torch.empty(6, 8, dtype=torch.float64)[:, ::2].normal_()
torch.empty(4, 6).t().bernoulli_(0.5)
torch.empty(4, 6).t().random_(100)
torch.rand_like(torch.ones(3)), torch.randn_like(torch.ones(3, dtype=torch.float64))
torch.randint_like(torch.ones(3), 5)
torch.manual_seed(-5); torch.rand(3)
torch.manual_seed(2**40 + 3); torch.rand(3)
torch.manual_seed(3); torch.get_rng_state()[:64]
torch.rand(7); torch.randn(3); torch.get_rng_state().long().sum(), torch.get_rng_state()[5016:]
torch.rand(624); torch.get_rng_state()[:32]
torch.randn(3); s = torch.get_rng_state(); a = torch.randn(5); torch.set_rng_state(s); a, torch.randn(5)
g = torch.Generator().manual_seed(42); torch.rand(3, generator=g), torch.randperm(5, generator=g)
torch.Generator().initial_seed(), torch.initial_seed()
torch.initial_seed(); torch.rand(2); torch.seed() >= 0
"""

PRINTING = """
torch.ones(0, dtype=torch.complex64), torch.ones(2, 0, dtype=torch.complex128), torch.ones(0, 3, requires_grad=True)
torch.set_printoptions(edgeitems=0, threshold=3); s = str([torch.arange(10), torch.ones(3, 3), torch.tensor(2.0)]); torch.set_printoptions(profile="default"); s
torch.set_printoptions(sci_mode=True); s = str(torch.ones(2)); torch.set_printoptions(precision=2); s += str(torch.ones(2) / 3); torch.set_printoptions(profile="default"); s
torch.set_printoptions(linewidth=30); s = str(torch.ones(4, 8) * 1.5) + str((leaf() * 2).double()); torch.set_printoptions(profile="default"); s
torch.nn.Parameter(torch.ones(2, 2)), type("Sub", (torch.nn.Parameter,), {})(torch.ones(2))
torch.tensor([1.5, nan, inf])
torch.tensor([1e-8, 1.0])
torch.tensor([123456.0, 1e-3])
torch.tensor([1.0, 2.0])
torch.tensor([1, 2, 300])
torch.tensor([True, False])
torch.tensor([[1.0, 2.0], [3.0, 4.5]])
torch.tensor([])
torch.tensor([nan])
torch.tensor([0.0, -0.0])
torch.tensor([-1.5, 2])
torch.tensor([1e9, 1.0])
torch.tensor([1e10])
torch.tensor([[0.1, -0.2, 3000.0]])
torch.tensor([inf, -inf, nan])
torch.tensor([1.0, inf])
torch.tensor([1e-5, 1e-5])
torch.tensor(3.5)
torch.tensor(3)
torch.tensor(1.0, dtype=torch.float64)
torch.tensor([1 + 2j, 3 - 4.5j])
torch.zeros(0, 3)
torch.zeros(2, 0, dtype=torch.int32)
torch.zeros(2000)
torch.arange(60.0)
torch.arange(24).reshape(2, 3, 4)
torch.arange(12000).reshape(20, 600)
torch.arange(24.0).reshape(2, 3, 2, 2) / 7
torch.arange(4000.0).reshape(2, 2000) / 3
torch.ones(3, dtype=torch.float16)
torch.ones(3, dtype=torch.bfloat16) * 0.3
torch.ones(3, dtype=torch.int32)
torch.ones(8, 9, dtype=torch.float64)
torch.ones(2, 3, requires_grad=True)
torch.ones(2, 3, requires_grad=True) * 2
(torch.ones(2, 3, requires_grad=True) * 2).double()
torch.ones(3, 5, 2, requires_grad=True).exp().double() * 1.5
torch.ones(3, requires_grad=True).mean()
torch.ones(2, 2, requires_grad=True) @ torch.ones(2, 2)
torch.ones(2, 2, requires_grad=True)[0]
torch.ones(3).shape, torch.float32, torch.ones(3).dtype, torch.device("cpu"), torch.device("cuda:1")
torch.ones(2, 3).max(1)
torch.tensor([3, 1, 2]).sort()
f"{torch.tensor(1.23456):.2f} {torch.tensor(7)} {torch.ones(2)}"
torch.set_printoptions(precision=2); s = repr(torch.tensor([1.23456])); torch.set_printoptions(profile="default"); s
torch.set_printoptions(sci_mode=True); s = repr(torch.tensor([1.5])); torch.set_printoptions(profile="default"); s
torch.set_printoptions(sci_mode=False); s = repr(torch.tensor([1e-8, 1.0])); torch.set_printoptions(profile="default", sci_mode=None); s
"""

PROMOTION = """
{a: {b: name(torch.promote_types(dtype(a), dtype(b))) for b in DTYPES} for a in DTYPES}
{a: {b: name(torch.result_type(one(a), one(b))) for b in DTYPES} for a in DTYPES}
{a: {b: name(torch.result_type(one(a), scalar(b))) for b in DTYPES} for a in NO_HALF}
{a: {b: name(torch.result_type(scalar(a), scalar(b))) for b in DTYPES} for a in DTYPES}
{a: {str(s): name(torch.result_type(one(a), s)) for s in NUMBERS} for a in DTYPES}
{a: {str(s): name(torch.result_type(scalar(a), s)) for s in NUMBERS} for a in DTYPES}
{a: {b: name((one(a) * one(b)).dtype) for b in DTYPES} for a in DTYPES}
{a: {b: name((one(a) / scalar(b)).dtype) for b in DTYPES} for a in NO_HALF}
{a: {b: name((one(a) + scalar(b)).dtype) for b in DTYPES} for a in NO_HALF}
{a: {str(s): name((one(a) * s).dtype) for s in NUMBERS} for a in DTYPES}
{a: {str(s): name((s / one(a)).dtype) for s in NUMBERS} for a in DTYPES}
{a: {str(s): name((one(a) ** s).dtype) for s in NUMBERS[1:]} for a in DTYPES if a != "bool"}
{a: name(one(a).sum().dtype) for a in DTYPES}
{a: name(one(a).prod().dtype) for a in DTYPES}
{a: name(one(a).cumsum(0).dtype) for a in DTYPES}
{a: name(one(a).exp().dtype) for a in DTYPES}
{a: name(one(a).sqrt().dtype) for a in DTYPES}
{a: name((one(a) == 1.5).dtype) for a in DTYPES}
{a: name(torch.where(one("bool"), one(a), 1.5).dtype) for a in DTYPES}
{a: name(torch.cat([one(a), one("int32")]).dtype) for a in DTYPES}
{a: name(torch.full((2,), 3, dtype=dtype(a)).dtype) for a in DTYPES}
[name(torch.tensor(x).dtype) for x in (1, 1.0, True, 1j, [], [1, 2.0], [True, 2])]
[name(torch.full((2,), x).dtype) for x in (1, 1.0, True)], name(torch.arange(3).dtype), name(torch.arange(3.0).dtype)
name(torch.tensor(np.ones(2)).dtype), name(torch.tensor(np.float32(1)).dtype), name(torch.as_tensor(np.ones(2, np.int16)).dtype)
torch.tensor([200], dtype=torch.uint8) + 100, torch.tensor([200], dtype=torch.uint8) * -1
torch.tensor([-3]) % 2, torch.tensor([-3]) // 2, torch.tensor([-3.5]) % 2, torch.tensor([7]) // -2.0
torch.tensor([7, -7]) / 2, torch.div(torch.tensor([7, -7]), 2, rounding_mode="trunc"), torch.div(torch.tensor([7, -7]), 2, rounding_mode="floor")
torch.tensor([1.7, -1.7]).long(), torch.tensor([0.0, 2.0, nan]).bool(), torch.tensor([True, False]).float()
torch.tensor([2]) ** 3, torch.tensor([2.0]) ** -1, 2 ** torch.tensor([3]), torch.tensor([4]) ** 0.5
torch.set_default_dtype(torch.float64); r = [name(torch.tensor(1.0).dtype), name(torch.zeros(1).dtype), name((torch.tensor([1]) / 2).dtype)]; torch.set_default_dtype(torch.float32); r
torch.finfo(torch.float32).eps, torch.iinfo(torch.int8).max, torch.finfo(torch.bfloat16).bits
"""

ERRORS = """
torch.ones(3) + torch.ones(4)
torch.ones(2, 3) * torch.ones(2, 4)
torch.ones(2, 3) @ torch.ones(2, 3)
torch.arange(3).mean()
torch.ones(3).int().requires_grad_()
torch.tensor([1, 2], requires_grad=True)
torch.ones(3, dtype=torch.int64).add_(1.5)
torch.ones(3, dtype=torch.int64).div_(2)
torch.ones(3).add_(torch.ones(2, 3))
x = torch.ones(3, requires_grad=True); x.add_(1)
x = torch.ones(3, requires_grad=True); x[0] = 1
x = torch.ones(3, requires_grad=True); x[:2].mul_(2)
x = torch.ones(3, requires_grad=True); x.numpy()
x = torch.ones(3, requires_grad=True); (x * 2).backward()
torch.ones(3).sum().backward()
x = torch.ones(3, requires_grad=True); y = x.exp().sum(); y.backward(); y.backward()
x = torch.ones(3, requires_grad=True); y = x * 2; y.requires_grad_(False)
x = torch.ones(3, requires_grad=True); torch.autograd.grad(x.sum(), torch.ones(1, requires_grad=True))
x = torch.ones(3, requires_grad=True); torch.autograd.grad(x.sum(), torch.ones(1))
x = torch.ones(3, requires_grad=True); x.exp().backward(torch.ones(2))
x = torch.ones(3, requires_grad=True); float(x)
x = torch.ones(3, requires_grad=True); x.grad = torch.ones(2)
x = torch.ones(3, requires_grad=True); copy.deepcopy(x * 2)
x = torch.ones(3); x.register_hook(print)
torch.zeros(3).expand(2, 3).add_(1)
torch.ones(2, 3).t().view(6)
torch.ones(2, 3).view(4)
torch.ones(2, 3).view(-1, 4)
torch.ones(2, 3).reshape(-1, -1)
torch.ones(2, 3).expand(4, 3)
torch.ones(2, 3).sum(2)
torch.ones(2, 3).sum(-3)
torch.ones(2, 3).transpose(0, 2)
torch.ones(2, 3).unsqueeze(4)
torch.ones(2, 3).squeeze(2)
torch.ones(2, 3)[2]
torch.ones(2, 3)[0, 3]
torch.ones(2, 3)[0, 0, 0]
torch.ones(2, 3)[::-1]
torch.ones(2, 3)[torch.tensor([True, False, True])]
torch.ones(2, 3)[torch.tensor([5])]
torch.ones(2, 3)[torch.tensor([0.5])]
torch.tensor(1.0)[0]
len(torch.tensor(1.0))
iter(torch.tensor(1.0))
bool(torch.ones(2))
bool(torch.ones(0))
torch.ones(2).item()
torch.cat([torch.ones(2, 3), torch.ones(2, 4)])
torch.cat([torch.ones(2, 3), torch.ones(2)])
torch.cat([])
torch.stack([torch.ones(2), torch.ones(3)])
torch.ones(3).narrow(0, 2, 2)
torch.ones(4).split([1, 2])
torch.ones(4).topk(5)
torch.tensor([]).max()
torch.ones(3).softmax(0, dtype=torch.int64)
torch.tensor([[1, 2], [3]])
torch.tensor("a")
torch.from_numpy([1])
torch.from_numpy(np.arange(3)[::-1])
torch.ones(3) & 1
torch.tensor([True]) - torch.tensor([True])
torch.tensor([2]) ** -1
torch.ones(3).gather(0, torch.tensor([3]))
torch.ones(2, 3).index_select(0, torch.tensor([2]))
torch.ones(2, 2, 2).t()
torch.ones(2, 3).mv(torch.ones(2))
torch.ones(2).dot(torch.ones(3))
torch.clamp(torch.ones(2))
torch.ones(3).fill_(torch.ones(2))
torch.arange(3, 0)
torch.ones(3).uniform_(2, 1)
torch.ones(3).normal_(0, -1)
torch.ones(3) == "a"
torch.ones(3) == None
torch.set_default_dtype(torch.int64)
with_no_grad_view()
"""

INDEXING = """
x[0], x[-1], x[0, 1], x[0, 1, 2], x[..., 0], x[:, 1], x[None].shape, x[:, None, 0].shape
x[0:1], x[:, 1:3:2], x[..., -1:], x[1:1].shape, x[-2:], x[:100].shape
x[torch.tensor([1, 0])], x[[0, 1], [2, 0]], x[:, [0, 2]], x[..., torch.tensor([0, 3])].shape
x[torch.tensor(1)], x[torch.tensor([[0, 1], [1, 0]])].shape, x[[0], :, [1]], x[[0, 1], ..., [1, 2]]
x[x > 5], x[x[:, 0, 0] > 3], x[:, torch.tensor([True, False, True])], x[torch.zeros(2, dtype=torch.bool)].shape
x[True].shape, x[False].shape, x[0, [0, 1]], x[[[0, 1]]].shape, x[[]].shape, x[np.array([1])]
x[0, ..., 1:], x[range(1)], x[torch.tensor([1], dtype=torch.uint8) > 0][0].shape, x[(0, 1)]
y = x.clone(); y[0] = 7; y[:, 1] = torch.tensor([1, 2, 3, 4]); y[1, 2, 3] = 9; y
y = x.clone(); y[y > 5] = 0; y[[0, 1], [1, 1]] = torch.tensor([9, 8, 7, 6]); y
y = x.clone(); y[..., 0] = 1.9; y[None, 0, 0] = 5; y[torch.tensor([1])] += 1; y
y = x.clone(); y[0, 0:2] = torch.ones(1, 1, 4, dtype=torch.int64); y[1] -= y[0]; y
y = x.clone(); v = y[0]; v += 100; w = y.t if False else y.permute(2, 1, 0); w[0] = 0; y
x.gather(2, torch.tensor([[[0], [1], [2]], [[3], [2], [1]]])), x.take_along_dim(torch.tensor([0, 5])), x.select(1, 2)
torch.zeros(2, 3).scatter(1, torch.tensor([[0], [2]]), 5.0), torch.zeros(3).scatter_add(0, torch.tensor([0, 0, 2]), torch.tensor([1.0, 2.0, 3.0]))
torch.zeros(2, 3).scatter_(1, torch.tensor([[0, 1], [2, 0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
torch.zeros(3, 2).index_add(0, torch.tensor([0, 0]), torch.ones(2, 2)), torch.zeros(3).index_fill(0, torch.tensor([1]), 2.0)
torch.tensor([3.0, 1.0, 2.0, 1.0]).sort(), torch.tensor([3, 1, 2, 1]).sort(descending=True, stable=True), torch.tensor([3, 1, 2]).argsort()
torch.tensor([[1, 5, 3], [4, 2, 6]]).topk(2), torch.tensor([1, 5, 3]).topk(1, largest=False)
torch.tensor([[1.0, 5.0], [7.0, 2.0]]).max(1), torch.tensor([[1, 5], [7, 2]]).min(0, keepdim=True), torch.tensor([1, 5]).max()
torch.tensor([0, 3, 0, 4]).nonzero(), torch.tensor([0, 3, 0, 4]).nonzero(as_tuple=True), torch.where(torch.tensor([True, False]))
torch.tensor([3, 1, 1, 2]).unique(), torch.tensor([3, 1, 1, 2]).unique(return_counts=True), torch.tensor([[1, 1], [2, 1]]).unique(return_inverse=True)
torch.arange(6).split(4), torch.arange(7).chunk(3), torch.arange(6).split([1, 2, 3]), torch.ones(2, 2).unbind(1), torch.arange(2).chunk(5)
torch.arange(3).tile(2), torch.arange(3).tile(2, 1), torch.arange(3).repeat(2, 2), torch.arange(3).repeat_interleave(2), torch.arange(4).roll(1)
torch.diag(torch.tensor([1, 2])), torch.diag(torch.ones(2, 2), 1), torch.eye(2, 3), torch.ones(3, 3).tril(-1), torch.tril_indices(2, 3)
torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij"), torch.broadcast_tensors(torch.ones(2, 1), torch.ones(3))[0].shape
torch.linspace(0, 1, 11), torch.linspace(-3, 10, 7), torch.linspace(0, 10, 5, dtype=torch.int64), torch.linspace(3, 5, 1)
torch.arange(0, 1, 0.1), torch.arange(5, 0, -2), torch.arange(2.5), torch.logspace(0, 2, 3), torch.linspace(-3.14159, 3.14159, 2000)[::300]
torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(3, 2)), torch.einsum("ii", torch.eye(3)), torch.einsum("...ij->...ji", torch.ones(2, 3, 4)).shape
torch.var(torch.arange(4.0)), torch.std(torch.arange(4.0), unbiased=False), torch.arange(6.0).view(2, 3).var(1, keepdim=True), torch.arange(4.0).var(0, correction=2)
torch.arange(4.0).norm(), torch.arange(4.0).norm(1), torch.arange(4.0).view(2, 2).norm(inf, 1), torch.var_mean(torch.arange(4.0))
torch.tensor([1.0, nan]).isnan(), torch.allclose(torch.ones(2), torch.ones(2) + 1e-9), torch.equal(torch.ones(2), torch.ones(2)), torch.ones(2).any(), torch.zeros(0).all()
torch.clamp(torch.arange(5), 1, 3), torch.arange(5).clamp(min=2), torch.clamp(torch.arange(3.0), torch.tensor([1.0, 0.0, 5.0])), torch.where(torch.tensor([True, False]), 1.0, 2.0)
torch.ones(2, 3).t().stride(), torch.ones(2, 3).t().is_contiguous(), torch.ones(2, 3)[:, 0].stride(), torch.ones(3).expand(2, 3).stride(), torch.ones(2, 3).t().contiguous().stride()
torch.ones(2, 3).size(), torch.ones(2, 3).size(-1), torch.ones(2, 3).numel(), torch.ones(2, 3).dim(), torch.Size([2, 3]).numel(), torch.Size([2, 3])[1:], torch.Size([2]) + torch.Size([3])
torch.tensor(5).item(), torch.tensor(1.5).item(), torch.tensor([True]).item(), int(torch.tensor(2.7)), float(torch.tensor(2)), [1, 2, 3][torch.tensor(1)], torch.tensor([[1, 2]]).tolist()
sum([torch.ones(2), torch.ones(2)]), max(torch.tensor(1), torch.tensor(2)), 2 in torch.arange(3), abs(torch.tensor(-1)), divmod(7, 2), round(float(torch.tensor(1.6))), [int(i) for i in torch.arange(3)]
torch.Tensor(2, 3).shape, torch.Tensor([1, 2]), torch.Tensor([1]).dtype, torch.ones(2).new_zeros(3), torch.ones(2, dtype=torch.int8).new_tensor([1.7])
torch.ones(2).type(), torch.ones(2).type(torch.int64).dtype, torch.ones(2).to("cpu", torch.float64).dtype, torch.ones(2).double().type("torch.FloatTensor").dtype
torch.addmm(torch.ones(2), torch.ones(2, 3), torch.ones(3, 2), beta=2, alpha=3), torch.outer(torch.arange(2.0), torch.ones(2)), torch.ones(2, 3).addcmul(torch.ones(3), torch.ones(3), value=2)
torch.cumsum(torch.arange(4), 0), torch.cumprod(torch.arange(1, 4), 0), torch.prod(torch.arange(1, 5)), torch.logsumexp(torch.zeros(3), 0), torch.tensor([inf, inf]).logsumexp(0)
torch.maximum(torch.tensor([1, nan]), torch.tensor([2.0, 0.0])), torch.tensor([1, nan]).max(), torch.round(torch.tensor([0.5, 1.5, 2.5])), torch.sign(torch.tensor([-2.0, 0.0])), torch.tensor([2, 3]) << 1
torch.ones(2, 3).permute(1, 0).shape, torch.ones(2, 3, 4).movedim(0, -1).shape, torch.ones(1, 2, 1).squeeze().shape, torch.ones(1, 2, 1).squeeze((0, 2)).shape, torch.ones(2, 3, 4).flatten(1).shape, torch.ones(6).unflatten(0, (2, -1)).shape, torch.ones(2, 3).T.shape, torch.ones(2, 3, 4).mT.shape, torch.arange(5).unfold(0, 2, 2)
"""

AUTOGRAD = """
x = leaf(); (x * x).sum().backward(); (x * 3).sum().backward(); x.grad
x = leaf(); y = x * 2; y.retain_grad(); (y * y).sum().backward(); x.grad, y.grad
x = leaf(); y = x.clone(); y[0] = 5.0; y[1] *= x[0]; (y * y).sum().backward(); x.grad, y.grad_fn is not None
x = leaf(); y = x * 1; v = y[1:]; v.mul_(3); (y.sum() + (v * v).sum()).backward(); x.grad, v, y
x = leaf(); b = torch.zeros(4); b[1:3] = x[:2] * 2; b.requires_grad, (b * b).sum().backward(), x.grad
x = leaf(); b = torch.zeros(2, 3); v = b[0]; v.copy_(x); w = b.t(); w[0].mul_(2); (b * b).sum().backward(); x.grad, v.requires_grad, w.requires_grad
x = leaf(); y = x * 1; v = y.view(3, 1); y.mul_(2); (v * v).sum().backward(); x.grad, v.grad_fn is not None
x = leaf(); y = x * 1; v = y[0:2]; w = v[1:]; w.zero_(); (y * y).sum().backward(); x.grad
x = leaf(); y = x.exp(); y.detach().zero_(); y.sum().backward()
x = leaf(); y = x.exp(); y.add_(1); y.sum().backward()
x = leaf(); y = x * x; z = y * y; y.mul_(2); z.sum().backward()
x = leaf(); y = x + 1; h = y + y; y.mul_(2); h.sum().backward(); x.grad
x = leaf(); y = x.sigmoid_() if False else x.clone().sigmoid_(); y.sum().backward(); x.grad
x = leaf(); y = x.clone(); y.pow_(2); y.sum().backward(); x.grad
x = leaf(); h = x.register_hook(lambda g: g * 2); (x * 3).sum().backward(); h.remove(); (x * 3).sum().backward(); x.grad
x = leaf(); y = x * 2; y.register_hook(lambda g: g * 10); y.sum().backward(); x.grad
x = leaf(); g, = torch.autograd.grad((x**3).sum(), x, create_graph=True); torch.autograd.grad(g.sum(), x)
x = leaf(); (x**3).sum().backward(create_graph=True); g = x.grad; x.grad = None; g.sum().backward(); x.grad
x = leaf(); torch.autograd.grad(x.sum(), [x, leaf()], allow_unused=True)
x = leaf(); y = x * 2; torch.autograd.grad((y * y).sum(), [y, x])
x = leaf(); z = leaf(); (x * z).sum().backward(inputs=[x]); x.grad, z.grad
x = leaf(); y = x.detach(); y.requires_grad, y.is_leaf, (x * 2).is_leaf, x.is_leaf, (x * 2).detach().grad_fn
x = leaf(); y = (x * 2).requires_grad_(); y.is_leaf, y.requires_grad
x = leaf(); y = x.double(); (y * 2).sum().backward(); x.grad
x = leaf(); y = torch.ones(2, 3); (x * y).sum().backward(); x.grad
x = leaf(); (x * torch.tensor([1, 2, 3])).sum().backward(); x.grad
x = leaf(); v, i = (x * 2).max(0); v.backward(); x.grad, i.requires_grad, v.requires_grad
x = leaf(); a, b = x.split([1, 2]); (a.sum() * 2 + b.sum() * 3).backward(); x.grad
x = leaf(); sum(x).backward(); x.grad
x = leaf(); y = x.sum(); y.backward(retain_graph=True); y.backward(); x.grad
x = leaf(); r = torch.is_grad_enabled(); s = torch.no_grad()(lambda: (x * 2).requires_grad)(); r, s
x = leaf(); y = x[x > 1.5]; y.sum().backward(); x.grad
x = leaf(); y = x[[0, 0, 2]]; y.sum().backward(); x.grad
x = leaf(); y = torch.zeros(3); y += x; y.sum().backward(); x.grad
x = leaf(); y = x * 1; y.data.mul_(5); (y * y).sum().backward(); x.grad
x = leaf(); x.data = torch.tensor([5.0, 6.0, 7.0]); (x * x).sum().backward(); x.grad
x = leaf(); x._version, x.detach()._version, torch.ones(3).add_(1).mul_(2)._version
x = torch.ones(3); v = x[1:]; v.add_(1); x._version, v._version, v._base is x, x._base
x = torch.zeros(2, requires_grad=True); x.abs().sum().backward(); x.grad
x = torch.zeros(2, requires_grad=True); x.relu().sum().backward(); x.grad
x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True); x.max().backward(); x.grad
x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True); x.amax().backward(); x.grad
x = torch.tensor([1.0, 1.0, 0.0], requires_grad=True); x.max(0)[0].backward(); x.grad
x = torch.tensor([1.0, 2.0], requires_grad=True); torch.maximum(x, torch.tensor([1.0, 1.0])).sum().backward(); x.grad
x = torch.tensor([0.0, 2.0, 3.0], requires_grad=True); x.prod().backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.norm().backward(); x.grad
x = torch.zeros(3, requires_grad=True); x.std().backward(); x.grad
x = torch.tensor([0.0, 1.0], requires_grad=True); x.pow(torch.tensor([0.0, 2.0])).sum().backward(); x.grad
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True); x.clamp(1.0, 2.5).sum().backward(); x.grad
x = torch.tensor([0.0, 1.0], requires_grad=True); x.sqrt().sum().backward(); x.grad
x = torch.tensor([inf, inf], requires_grad=True); x.logsumexp(0).backward(); x.grad
x = leaf(); y = copy.deepcopy(x); y.requires_grad, y is x, y.grad, pickle.loads(pickle.dumps(torch.ones(2)))
"""

TOPICS = {"random": RANDOM, "printing": PRINTING, "promotion": PROMOTION, "errors": ERRORS}
TOPICS |= {"indexing": INDEXING, "autograd": AUTOGRAD}


def questions(topic: str) -> list[str]:
    """The questions of `topic`, in order."""
    return TOPICS[topic].strip().splitlines()


def namespace(torch: Any) -> dict:
    """The names that questions use."""
    import numpy as np

    def with_no_grad_view() -> None:
        x = torch.ones(3, requires_grad=True) * 1
        with torch.no_grad():
            view = x[:2]
        view.mul_(2)

    return dict(
        torch=torch,
        np=np,
        copy=copy,
        pickle=pickle,
        nan=float("nan"),
        inf=float("inf"),
        DTYPES=DTYPES,
        NO_HALF=[d for d in DTYPES if d != "float16"],  # PyTorch makes it complex32 at times
        NUMBERS=(True, 2, 1.5),
        dtype=lambda n: getattr(torch, n),
        name=lambda d: str(d).removeprefix("torch."),
        one=lambda n: torch.ones(1, dtype=getattr(torch, n)),
        scalar=lambda n: torch.ones((), dtype=getattr(torch, n)),
        leaf=lambda: torch.tensor([1.0, 2.0, 3.0], requires_grad=True),
        x=torch.arange(24).reshape(2, 3, 4),
        with_no_grad_view=with_no_grad_view,
        fn=partial(custom_function, torch),
        F=torch.autograd.functional,
        C=torch.utils.checkpoint.checkpoint,
        G=torch.autograd.gradcheck,
        made=lambda line, leaves: make_distribution(torch, line, leaves),
        quiet=quiet,
        caught=caught,
    )


def custom_function(torch: Any, forward: Any, backward: Any, **more: Any) -> type:
    """A custom Function with these rules."""
    rules = {"forward": staticmethod(forward), **more}
    if backward is not None:
        rules["backward"] = staticmethod(backward)
    return type("Custom", (torch.autograd.Function,), rules)


def make_distribution(torch: Any, line: str, leaves: list) -> Any:
    """The distribution of a line of source; `leaves` gets the tensors that it depends on."""

    def leaf() -> Any:
        leaves.append(torch.tensor([1.0, 2.0, 3.0], requires_grad=True))
        return leaves[-1]

    return eval(line, {**vars(torch.distributions), "torch": torch, "leaf": leaf})


def quiet(run: Any) -> Any:
    """What `run` gives, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run()


def caught(run: Any) -> Any:
    """The error that `run` raises, or what it gives."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 the error is the answer
        return error


def answer(torch: Any, topic: str, question: str) -> str:
    """What `torch` answers: the value with dtypes and shapes, or the error's type and text."""
    torch.manual_seed(0)
    tell = str if topic == "printing" else partial(told, torch, exact=topic == "random")
    tree = ast.parse(question)
    last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    names = namespace(torch)
    try:
        exec(compile(tree, "question", "exec"), names)
        return tell(eval(compile(last, "question", "eval"), names))
    except Exception as error:  # noqa: BLE001 the error is the answer
        return f"{type(error).__name__}: {error}"


def told(torch: Any, value: Any, exact: bool) -> str:
    """`value` as text; floats to six digits (processors differ in the last), or to the last bit."""
    tell = partial(told, torch, exact=exact)
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{list(value.shape)}{tell(value.tolist())}"
    if isinstance(value, float) and not exact:
        return f"{value:.6g}"
    if type(value) in (list, tuple):
        return "(" + ", ".join(tell(each) for each in value) + ")"
    if isinstance(value, tuple) and hasattr(value, "values"):
        return f"values={tell(value.values)} indices={tell(value.indices)}"
    return repr(value)


def ask(torch: Any, topic: str) -> dict[str, str]:
    """All answers of `torch` on `topic`."""
    return {each: answer(torch, topic, each) for each in questions(topic)}


def check(topic: str, asked: list[str] | None = None, file: Path = FILE) -> Any:
    """A test that asks our stack all questions of `topic`, one by one."""
    import pytest

    import elastic.tensor

    answers = json.loads(file.read_text())[topic]

    @pytest.mark.parametrize("question", asked or questions(topic))
    def test_answers_as_pytorch_does(question: str) -> None:
        assert answer(elastic.tensor, topic, question) == answers[question]

    return test_answers_as_pytorch_does


if __name__ == "__main__":
    import torch
    import torch.utils.checkpoint

    FILE.write_text(json.dumps({topic: ask(torch, topic) for topic in TOPICS}, indent=0) + "\n")

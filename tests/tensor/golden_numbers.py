# ruff: noqa: E501 one line a question
"""More questions as in `golden.py`: numbers, dtypes and what is refused, making tensors, chance.

The answers: `golden_numbers.json`. To add a question write it below and run
`python -m tests.tensor.golden_numbers` where PyTorch is installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tensor import golden

FILE = Path(__file__).with_name("golden_numbers.json")

NUMBERS = r"""
i = torch.arange(3); torch.add(i,i,alpha=.5)
b = torch.ones(3, dtype=torch.bool); torch.add(b,b,alpha=2)
b = torch.ones(3, dtype=torch.bool); torch.add(b,b,alpha=True)
i = torch.arange(3); torch.add(i,i,alpha=True)
f = torch.ones(3); torch.add(f,f,alpha=1j)
i = torch.arange(3); torch.sub(i,i,alpha=.5)
b = torch.ones(3, dtype=torch.bool); torch.rsub(b,b)
f = torch.ones(3); b = torch.ones(3, dtype=torch.bool); torch.sub(b,f)
b = torch.ones(3, dtype=torch.bool); b-1
b = torch.ones(3, dtype=torch.bool); 1-b
b = torch.ones(3, dtype=torch.bool); -b
b = torch.ones(3, dtype=torch.bool); torch.positive(b)
i = torch.arange(3); i//0
i = torch.arange(3); i%0
f = torch.ones(3); f//0
i = torch.arange(3); torch.fmod(i,0)
i = torch.arange(3); torch.remainder(i,0)
i = torch.arange(3); torch.round(i,decimals=2)
f = torch.ones(3); torch.round(f,decimals=-1)
i = torch.arange(3); i**-1
i = torch.arange(3); 2**i
i = torch.arange(3); True**i
b = torch.ones(3, dtype=torch.bool); b**2
b = torch.ones(3, dtype=torch.bool); b**b
b = torch.ones(3, dtype=torch.bool); torch.pow(2,b)
i = torch.arange(3); torch.div(i,i,rounding_mode='x')
i = torch.arange(3); torch.div(i,2,rounding_mode='trunc')
b = torch.ones(3, dtype=torch.bool); torch.div(b,b,rounding_mode='floor')
b = torch.ones(3, dtype=torch.bool); torch.div(b,b,rounding_mode='trunc')
c = torch.ones(3) + 0j; torch.div(c,c,rounding_mode='floor')
c = torch.ones(3) + 0j; torch.div(c,c,rounding_mode='trunc')
i = torch.arange(3); torch.addcdiv(i,i,i)
b = torch.ones(3, dtype=torch.bool); torch.addcmul(b,b,b)
i = torch.arange(3); torch.addcmul(i,i,i,value=.5)
f = torch.ones(3); torch.lerp(f,f.double(),.5)
i = torch.arange(3); torch.lerp(i,i,.5)
f = torch.ones(3); torch.lerp(f,f,f.double())
b = torch.ones(3, dtype=torch.bool); torch.clamp(b,0,1)
f = torch.ones(3); torch.clamp(f)
c = torch.ones(3) + 0j; torch.clamp(c,0)
i = torch.arange(3); torch.clamp(i,0.5)
i = torch.arange(3); f = torch.ones(3); torch.clamp(i,i,f)
f = torch.ones(3); torch.where(f,f,f)
f = torch.ones(3); u8 = torch.arange(3).byte(); torch.where(u8,f,f)
b = torch.ones(3, dtype=torch.bool); torch.where(b,1,2)
b = torch.ones(3, dtype=torch.bool); torch.where(b,1.,2)
f = torch.ones(3); b = torch.ones(3, dtype=torch.bool); torch.where(b,f,1j)
i = torch.arange(3); f = torch.ones(3); b = torch.ones(3, dtype=torch.bool); torch.where(b,i,f)
b = torch.ones(3, dtype=torch.bool); torch.where(b)
f = torch.ones(3); torch.view_as_complex(f)
i = torch.arange(3); torch.view_as_complex(i.view(1,3))
f = torch.ones(3); torch.view_as_real(f)
f = torch.ones(3); torch.complex(f,f.double())
f = torch.ones(3); h = torch.ones(3).half(); torch.polar(f,h)
f = torch.ones(3); torch.imag(f)
f = torch.ones(3); torch.real(f) is f
f = torch.ones(3); f.imag
c = torch.ones(3) + 0j; c.imag
f = torch.ones(3); torch.conj(f) is f
f = torch.ones(3); f.conj() is f
f = torch.ones(3); torch.resolve_conj(f) is f
f = torch.ones(3); torch.positive(f) is f
f = torch.ones(3); torch.frexp(f)
f = torch.ones(3); torch.mvlgamma(f,0)
f = torch.ones(3); torch.mvlgamma(f,2)
f = torch.ones(3); torch.polygamma(-1,f)
i = torch.arange(3); torch.polygamma(1,i)
i = torch.arange(3); torch.igamma(i,i)
i = torch.arange(3); torch.nan_to_num(i,nan=3)
i = torch.arange(3); torch.logit(i,2)
i = torch.arange(3); torch.copysign(i,i)
i = torch.arange(3); torch.bitwise_left_shift(i,-1)
i = torch.arange(3); i<<70
u8 = torch.arange(3).byte(); u8<<9
i = torch.arange(3); i>>70
i = torch.arange(3); torch.isin(i,1)
f = torch.ones(3); c = torch.ones(3) + 0j; torch.isin(f,c)
f = torch.ones(3); f.is_conj()
f = torch.ones(3); f.is_neg()
i = torch.arange(3); torch.float_power(i,2)
i = torch.arange(3); torch.float_power(2,i)
i = torch.arange(3); f = torch.ones(3); torch.ldexp(f,i)
i = torch.arange(3); i.add_(.5)
i = torch.arange(3); i.div_(2)
b = torch.ones(3, dtype=torch.bool); b.add_(1)
i = torch.arange(3); i.mul_(1j)
f = torch.ones(3); f.mul_(1j)
u8==300
u8 = torch.arange(3).byte(); u8+300
u8 = torch.arange(3).byte(); u8+(-1)
i = torch.arange(3); torch.add(1,i)
f = torch.ones(3); torch.add(f,1,out=torch.empty(3).long())
torch.nn.functional.hardtanh(torch.tensor([-3,0,3]),-1.5,2.5)
torch.nn.functional.hardtanh(torch.tensor([-3,0,3],dtype=torch.bfloat16))
torch.nn.functional.relu6(torch.tensor([0,7],dtype=torch.uint8))
torch.nn.functional.hardtanh(torch.tensor([0,7],dtype=torch.uint8))
torch.nn.functional.hardtanh(torch.tensor([True]))
f = torch.ones(3); f.clamp_(min=torch.tensor(2.,dtype=torch.double))
i = torch.arange(3); f = torch.ones(3); torch.heaviside(f,i)
c = torch.ones(3) + 0j; torch.logaddexp(c,c)
i = torch.arange(3); torch.logaddexp(i,i)
c = torch.ones(3) + 0j; torch.maximum(c,c)
c = torch.ones(3) + 0j; torch.sign(c)
f = torch.ones(3); torch.fmod(f,0)
f = torch.ones(3); torch.isclose(f,f.double())
f = torch.ones(3); torch.equal(f,f.double())
i = torch.arange(3); f = torch.ones(3); torch.equal(f,i)
b = torch.ones(3, dtype=torch.bool); torch.square(b)
f = torch.ones(3); torch.xlogy(2,f)
f = torch.ones(3); torch.special.zeta(2,f)
f = torch.ones(3); torch.special.bessel_j0(f.clone().requires_grad_())
f = torch.ones(3); torch.nextafter(f.requires_grad_(),f)
f = torch.ones(3); torch.floor_divide(f.requires_grad_(),f)
f = torch.ones(3); torch.div(f.requires_grad_(),f,rounding_mode='floor')
"""

CREATION = r"""
x = torch.zeros(3); x.cauchy_(sigma=0)
i = torch.zeros(3, dtype=torch.long); i.cauchy_()
x = torch.zeros(3); x.exponential_(0)
x = torch.zeros(3); x.exponential_(-1)
i = torch.zeros(3, dtype=torch.long); i.exponential_()
x = torch.zeros(3); x.geometric_(0)
x = torch.zeros(3); x.geometric_(1)
x = torch.zeros(3); x.geometric_(1.5)
i = torch.zeros(3, dtype=torch.long); i.geometric_(.5)
x = torch.zeros(3); x.log_normal_(1,-1)
i = torch.zeros(3, dtype=torch.long); i.log_normal_()
i = torch.zeros(3, dtype=torch.long); i.normal_()
x = torch.zeros(3); x.normal_(0,-1)
i = torch.zeros(3, dtype=torch.long); i.uniform_()
x = torch.zeros(3); x.uniform_(2,1)
x = torch.zeros(3); x.bernoulli_(2)
torch.bernoulli(torch.tensor([2.]))
i = torch.zeros(3, dtype=torch.long); i.bernoulli_(.5)
i = torch.zeros(3, dtype=torch.long); torch.bernoulli(i)
x = torch.zeros(3); x.random_(5,5)
i = torch.zeros(3, dtype=torch.long); i.random_(-3)
torch.randint(5,5,(2,))
torch.randint(3,(2,),dtype=torch.float32)
torch.randint(0,300,(2,),dtype=torch.uint8)
torch.randint(2,(3,),dtype=torch.bool)
torch.randperm(-1)
torch.randperm(300,dtype=torch.uint8)
torch.randperm(3,dtype=torch.float32)
torch.multinomial(torch.tensor([1.,-1.]),1)
torch.multinomial(torch.tensor([0.,0.]),1)
torch.multinomial(torch.tensor([1.,0.]),2)
torch.multinomial(torch.ones(2),3)
torch.multinomial(torch.ones(2),0)
torch.multinomial(torch.ones(2).long(),1)
torch.multinomial(torch.ones(2,2,2),1)
torch.multinomial(torch.tensor(1.),1)
torch.normal(torch.zeros(2),torch.tensor([1.,-1.]))
torch.normal(0.,-1.,(2,))
torch.normal(torch.zeros(2),-1.)
torch.normal(torch.zeros(2),torch.ones(3))
i = torch.zeros(3, dtype=torch.long); torch.normal(i,1.)
torch.rand(2,dtype=torch.long)
torch.randn(2,dtype=torch.long)
torch.randn(-1)
torch.zeros(-1)
torch.zeros(1.5)
torch.zeros('a')
torch.zeros([2.])
torch.zeros(torch.tensor(2))
torch.zeros(2,torch.tensor(3)).shape
torch.empty_strided((2,),(1,2))
torch.empty_strided((2,3),(1,2)).stride()
torch.empty_permuted((2,3,4),(2,0,1)).stride()
torch.empty_permuted((2,3),(0,0))
torch.full((2,),True)
torch.full((2,),1)
torch.full((2,),1j).dtype
torch.full((2,),torch.tensor(2.))
torch.full(2,1)
torch.arange(0,5,0)
torch.arange(5,0)
torch.arange(0,float('inf'))
torch.arange(0,float('nan'))
torch.arange(5,dtype=torch.bool)
torch.arange(1,2,.3)
torch.arange(torch.tensor(3))
torch.arange(torch.tensor(3.)).dtype
torch.arange(0,1,.1,dtype=torch.float16)
torch.linspace(0,1,-1)
torch.linspace(0,1,5,dtype=torch.int32)
torch.linspace(torch.tensor(0.),torch.tensor([1.]),3)
torch.linspace(0,1j,3)
torch.linspace(0,5,3,dtype=torch.bool)
torch.logspace(0,1,3,dtype=torch.int64)
torch.logspace(0,1j,3)
torch.eye(-1)
torch.eye(2,-1)
torch.eye(2,3,dtype=torch.bool)
torch.eye(2,dtype=torch.complex64)
torch.ones(2,requires_grad=True,dtype=torch.long)
torch.tensor([1,2],requires_grad=True)
torch.tensor([])
torch.tensor([[1,2],[3]])
torch.tensor('a')
torch.tensor(['a'])
torch.tensor(None)
torch.tensor([None])
torch.tensor(2**63)
torch.tensor(2**70)
torch.tensor([1,2.5,True])
torch.tensor([True,2])
torch.tensor([1,2j])
torch.tensor(300,dtype=torch.uint8)
torch.tensor(-1,dtype=torch.uint8)
torch.tensor(1.7,dtype=torch.int)
torch.tensor(torch.ones(2))
torch.tensor([torch.tensor(1),torch.tensor(2.)])
torch.tensor([torch.ones(2),torch.ones(2)])
torch.tensor(range(3))
torch.tensor({1:2})
torch.as_tensor([1,2])
torch.asarray([1,2])
torch.asarray(3.5,dtype=torch.long)
torch.from_numpy([1])
torch.zeros_like(3)
torch.tensor(1e400)
torch.tensor([1e400,2])
torch.zeros(2,dtype=float)
torch.zeros(2,dtype=int).dtype
torch.zeros(2,dtype=bool).dtype
torch.ones(2,device='cuda')
torch.ones(2,device='foo')
torch.ones((2,3),out=torch.empty(0)).shape
torch.ones(2,foo=1)
torch.vander(torch.tensor([1,2,3]))
torch.complex(torch.ones(2),torch.ones(2))
torch.empty(2,3,4,5,memory_format=torch.channels_last).stride()
torch.zeros_like(torch.ones(2,3).t()).stride()
torch.zeros_like(torch.ones(2,3).t(),memory_format=torch.contiguous_format).stride()
torch.rand_like(torch.ones(2,3).t()).stride()
torch.ones(2,3).t().clone().stride()
(torch.ones(2,3).t()+1).stride()
torch.ones(2,3).t().double().stride()
torch.ones(2,3).t().exp().stride()
torch.ones(2,3).expand(4,2,3).clone().stride()
torch.tril_indices(3,3,dtype=torch.int32).dtype
torch.randint(0,10,(3,),dtype=torch.float16)
torch.range(1,4)
"""

CHANCE = r"""
p = torch.tensor([0.1, 0.5, 0.8]).expand(5, 3); torch.bernoulli(p), torch.empty_like(p).stride(), torch.rand_like(p), torch.bernoulli(p.t()).stride()
torch.empty_like(torch.ones(4, 1, 3).expand(4, 5, 3)).stride(), torch.zeros_like(torch.ones(3, 4, 1).transpose(0, 1).expand(4, 3, 5)).stride()
torch.multinomial(torch.ones(4, 5), 1, replacement=True), torch.multinomial(torch.ones(4, 5), 2, replacement=True)
a, b = torch.ones(3), torch.ones(2, 3); c, d = torch.broadcast_tensors(a, b); d is b, c is a, c.shape
torch.randn(3,dtype=torch.complex64)
torch.rand(3,dtype=torch.complex128)
torch.randn(20,dtype=torch.complex64)[:3]
torch.normal(0.,1.,(3,),dtype=torch.complex64)
torch.zeros(3,dtype=torch.complex64).normal_(1,2)
torch.poisson(torch.tensor([.5,3.,20.,100.,5.]))
torch.poisson(torch.tensor([-1.]))
torch.binomial(torch.tensor([5.,30.,20.]),torch.tensor([.5,.1,.7]))
torch.zeros(4,dtype=torch.float16).cauchy_()
torch.zeros(4,dtype=torch.bfloat16).exponential_()
torch.zeros(4,dtype=torch.int8).geometric_(.2)
torch.zeros(4,dtype=torch.uint8).random_()
torch.zeros(4,dtype=torch.int16).random_(-5,9)
torch.zeros(4,dtype=torch.bool).random_()
torch.zeros(4,dtype=torch.int64).random_()
torch.zeros(2,dtype=torch.int64).random_(-2**63,None)
torch.zeros(4,dtype=torch.bool).bernoulli_(.5)
torch.zeros(4,dtype=torch.int64).bernoulli_(torch.tensor([.5,.5,.1,.9]))
torch.rand(4,dtype=torch.float16)
torch.randn(4,dtype=torch.bfloat16)
torch.randn(20,dtype=torch.bfloat16)[:3]
torch.randint_like(torch.zeros(3),5)
torch.randint_like(torch.zeros(3),2,5)
torch.randint(5,(3,),generator=torch.Generator().manual_seed(1))
torch.normal(torch.zeros(20),2.)[:3]
torch.normal(1.,torch.ones(20)*2)[:3]
torch.normal(torch.zeros(20)+1,torch.ones(20)*2)[:3]
torch.normal(2,3,size=(3,))
torch.randperm(20)
torch.rand(5,out=torch.empty(5))
torch.nn.init.trunc_normal_(torch.zeros(4))
torch.rand(2,3).t().contiguous().uniform_()[0]
torch.zeros(2,3).t().normal_()
torch.zeros(20,30)[::2].normal_()[1,:3]
torch.zeros(20,30)[:,::2].normal_()[1,:3]
torch.zeros(4,5).t().normal_()[0,:3]
torch.zeros(17).log_normal_(.5,.2)[:3]
"""

FACTS = r"""
c = torch.testing.assert_close; o = torch.ones; c(o(2), o(2) + 1e-7), c([o(1), 2, None], [o(1), 2, None]), c({"a": o(1)}, {"a": o(1)}), c(o(2), o(2).double(), check_dtype=False), c(o(2), o(2) * 1.01, rtol=0.1, atol=0.0), c(o(1) * nan, o(1) * nan, equal_nan=True), c(np.ones(2), np.ones(2))
torch.testing.assert_close(torch.ones(2, 3), torch.ones(2, 3) + torch.eye(2, 3) * 0.1)
torch.testing.assert_close(torch.ones(2), torch.ones(3))
torch.testing.assert_close(torch.ones(2), torch.ones(2).double())
torch.testing.assert_close(torch.ones(2, 2), torch.ones(2, 2).t(), check_stride=True)
torch.testing.assert_close(torch.tensor([1, 2]), torch.tensor([1, 3]))
torch.testing.assert_close(torch.tensor(1.0), torch.tensor(2.0))
torch.testing.assert_close(1.0, 2.0)
torch.testing.assert_close({"a": [torch.ones(1)]}, {"a": [torch.ones(1) * 3]})
torch.testing.assert_close({"a": 1}, {"b": 1})
torch.testing.assert_close([1], [1, 2])
torch.testing.assert_close(True, False)
torch.testing.assert_close(torch.ones(1) * nan, torch.ones(1) * nan)
torch.testing.assert_close(torch.ones(2), torch.ones(2) * 2, msg="told")
torch.testing.assert_close(torch.ones(2), torch.ones(2) * 2, msg=lambda text: text[:20])
torch.testing.assert_close(torch.ones(2), torch.ones(2), rtol=1.0)
torch.testing.assert_close("a", "b")
x = torch.ones(2, 3, requires_grad=True); [y.grad_fn.name() for y in (x.sum(), x.sum(1), x.mean(), x.mean((0, 1)), x.prod(0), x.max(), x.max(0)[0], x.min(), x.amax(1), 1 - x, x - 1, torch.rsub(x, 1), 2 / x, x / 2, x**2, 2**x, x**x, x.clamp(0, 1), x.clamp(max=torch.ones(3)), x.squeeze(), x.squeeze(0), x.squeeze((0, 1)), x @ x.t(), x @ torch.ones(3), x[None] @ x.t(), x % 2, x % x, torch.lerp(x, x, 0.5), torch.lerp(x, x, x), x.log1p(), torch.outer(x[0], x[0]))]
x = torch.ones(2, 3, requires_grad=True); f = torch.nn.functional; [y.grad_fn.name() for y in (f.linear(x, x), f.linear(x, x, x[0, :2]), f.linear(x[None], x), f.linear(x[None], x, x[0, :2]), f.layer_norm(x, (3,)), f.batch_norm(x, None, None, training=True), f.max_pool2d(x[None], 2), f.avg_pool2d(x[None], 2), f.max_pool1d(x[None], 2))]
x = torch.tensor([3.0, 7.0, 49.0]); 1 / x, 2 / x, 10 / torch.arange(1, 4), (1 - x).requires_grad
x = torch.ones(2, requires_grad=True); torch.autograd.grad(x.sum(), x, only_inputs=True), torch.autograd.grad((x * x).sum(), [x], None, None, True, True, True, False, True)
x = torch.ones(1, 2, 3, 3, requires_grad=True); y = torch.nn.functional.conv2d(x, torch.ones(1, 2, 3, 3), padding=1); torch.autograd.grad(y.sum(), x)[0].is_contiguous(), torch.nn.functional.conv_transpose2d(x, torch.ones(2, 1, 3, 3), padding=1).is_contiguous()
torch.unravel_index(torch.tensor([[5, 7], [-1, 0]]), (2, 3)), torch.unravel_index(torch.tensor([5, 4]), 6)
torch.unravel_index(torch.tensor(1.0), (2, 3))
torch.unravel_index(torch.tensor(1), (-2, 3))
torch.unravel_index(torch.tensor(1), "a")
x = torch.arange(6.0).view(2, 3); quiet(lambda: (torch.frobenius_norm(x, (0, 1)), torch.frobenius_norm(x, 1, True), torch.frobenius_norm(x, []), torch.nuclear_norm(x), torch.nuclear_norm(x[None], (1, 2), True)))
x = torch.ones(2); x.is_shared(), x.share_memory_() is x, x.is_shared(), x[1:].is_shared(), torch.nn.Linear(1, 1).share_memory().weight.is_shared()
f"{torch.ones(2):.2f}"
str(type(torch.ones(2))).split(".")[-1], torch.is_anomaly_enabled(), torch.set_anomaly_enabled(True, False), torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled(), torch.set_anomaly_enabled(False)
repr(torch.linalg.slogdet(torch.eye(2)))
m = torch.nn.Linear(2, 2); x = torch.ones(2); [y.requires_grad for y in (torch.func.jacrev(m)(x), torch.func.grad(lambda z: m(z).sum())(x), torch.func.vjp(m, x)[0], torch.func.jvp(m, (x,), (x,))[1], torch.func.jacrev(torch.sin)(x))], torch.no_grad()(lambda: torch.func.jacrev(m)(x).requires_grad)()
torch.nn.Module().add_module("a.b", torch.nn.ReLU())
x = torch.ones(2, 3); torch.exp_(x) is x, x, torch.square_(torch.ones(2) * 3)
x = torch.ones(2, 3); x.untyped_storage().nbytes()
x = torch.ones(2, 3); x[1].storage_offset()
x = torch.ones(2, 3); x.storage().size()
x = torch.ones(2, 3); x.get_device()
x = torch.ones(2, 3); x.layout
x = torch.ones(2, 3); x.is_sparse,x.is_quantized,x.is_meta,x.is_mps
x = torch.ones(2, 3); x.is_pinned()
x = torch.ones(2, 3); x.is_shared()
x = torch.ones(2, 3); x.is_signed()
x = torch.ones(2, 3); x.is_same_size(x)
x = torch.ones(2, 3); x.is_set_to(x)
x = torch.ones(2, 3); x.dim_order()
x = torch.ones(2, 3); x.t().dim_order()
x = torch.ones(2, 3); x.new([1,2])
x = torch.ones(2, 3); x.new(3).shape
x = torch.ones(2, 3); x.new().shape
x = torch.ones(2, 3); x.is_inference()
x = torch.ones(2, 3); x.is_nonzero()
x = torch.ones(2, 3); x.is_distributed()
x = torch.ones(2, 3); x.names
x = torch.ones(2, 3); x.nbytes
x = torch.ones(2, 3); x.itemsize
x = torch.ones(2, 3); x.cdouble().dtype
x = torch.ones(2, 3); x.new_zeros(2,3).dtype
x = torch.ones(2, 3); x.new_zeros((2,3),dtype=torch.int).dtype
x = torch.ones(2, 3); x.new_empty_strided((2,),(1,)).shape
x = torch.ones(2, 3); x.new_full((2,),3)
x = torch.ones(2, 3); x.is_xpu
x = torch.ones(2, 3); x.is_cpu
x = torch.ones(2, 3); x.is_leaf
x = torch.ones(2, 3); x.has_names()
x = torch.ones(2, 3); x.retains_grad
x = torch.ones(2, 3); x.grad_dtype
x = torch.ones(2, 3); x.volatile
x = torch.ones(2, 3); x.numel(), x.ndimension()
x = torch.ones(2, 3); x.is_neg()
x = torch.ones(2, 3); x.is_conj()
x = torch.ones(2, 3); x.element_size()
x = torch.ones(2, 3); x.to_dense() is x
x = torch.ones(2, 3); x.is_contiguous(memory_format=torch.contiguous_format)
x = torch.ones(2, 3); x.type(torch.float64).dtype
x = torch.ones(2, 3); x.type('torch.IntTensor').dtype
x = torch.ones(2, 3); x.double().type()
x = torch.ones(2, 3); torch.is_nonzero(x[0,0])
x = torch.ones(2, 3); torch.is_floating_point(x)
x = torch.ones(2, 3); torch.is_complex(x)
x = torch.ones(2, 3); torch.is_signed(x)
x = torch.ones(2, 3); torch.is_same_size(x,x)
x = torch.ones(2, 3); torch.is_conj(x)
x = torch.ones(2, 3); torch.is_neg(x)
x = torch.ones(2, 3); torch.is_distributed(x)
x = torch.ones(2, 3); torch.is_storage(x.untyped_storage())
x = torch.ones(2, 3); torch.get_device(x)
x = torch.ones(2, 3); torch.numel(x)
x = torch.ones(2, 3); torch.result_type(x,1)
x = torch.ones(2, 3); x.where(x>0,x)
x = torch.ones(2, 3); x.stride(0)
x = torch.ones(2, 3); x.size(-1)
x = torch.ones(2, 3); x.size(5)
x = torch.ones(2, 3); x.stride(5)
x = torch.ones(2, 3); x.is_nested
x = torch.ones(2, 3); x.is_mkldnn
x = torch.ones(2, 3); x.is_vulkan
x = torch.ones(2, 3); x.cuda()
x = torch.ones(2, 3); x.pin_memory()
x = torch.ones(2, 3); x.data_ptr()==x.untyped_storage().data_ptr()
"""

TOPICS = {"numbers": NUMBERS, "creation": CREATION, "chance": CHANCE, "facts": FACTS}


def questions(topic: str) -> list[str]:
    """The questions of `topic`, in order."""
    return TOPICS[topic].strip().splitlines()


def check(topic: str) -> Any:
    """A test that asks our stack all questions of `topic`, one by one."""
    return golden.check(topic, questions(topic), FILE)


if __name__ == "__main__":
    import torch

    answers = {t: {q: golden.answer(torch, t, q) for q in questions(t)} for t in TOPICS}
    FILE.write_text(json.dumps(answers, indent=0) + "\n")

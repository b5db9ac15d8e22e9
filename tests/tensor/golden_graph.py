# ruff: noqa: E501 one line a question
"""More questions as in `golden.py`: everything around the graph. The answers: `golden_graph.json`.

`fn(forward, backward)` makes a custom Function, `F` is `torch.autograd.functional`, `C` is
`checkpoint`, `G` is `gradcheck`. To add a
question write it below and run `python -m tests.tensor.golden_graph` where PyTorch is installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tensor import golden

FILE = Path(__file__).with_name("golden_graph.json")

FUNCTION = """
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: g * 5).apply(x).sum().backward(); x.grad
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: (g, g)).apply(x).sum().backward()
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: (g, None)).apply(x).sum().backward(); x.grad
x = leaf(); fn(lambda c, x, y: x * 2, lambda c, g: (g,)).apply(x, 2).sum().backward()
x = leaf(); fn(lambda c, x, y: x * 2, lambda c, g: (g, g)).apply(x, 2).sum().backward()
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: 3).apply(x).sum().backward()
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: g[:2]).apply(x).sum().backward()
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: g.expand(2, 3)).apply(x).sum().backward(); x.grad
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: g.double()).apply(x).sum().backward(); x.grad
x = leaf(); fn(lambda c, x: 3, lambda c, g: g).apply(x)
x = leaf(); got = []; fn(lambda c, x: (3, x * 2, None), lambda c, *g: got.append(g) or g[1]).apply(x)[1].sum().backward(); got, x.grad
x = leaf(); fn(lambda c, x: c.save_for_backward(3) or x * 2, lambda c, g: g).apply(x)
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: g, vjp=staticmethod(lambda c, g: g)).apply(x).sum().backward()
x = leaf(); fn(lambda c, x: x * 2, lambda c, g: g)()(x)
x = leaf(); torch.autograd.Function.apply(x)
x = leaf(); fn(lambda c, x: x * 2, None).apply(x).sum().backward()
x = leaf(); f = fn(lambda c, x: c.save_for_backward(x) or x * 2, lambda c, g: g * c.saved_tensors[0]); h = x * 1; y = f.apply(h); h.add_(1); y.sum().backward()
x = leaf(); f = fn(lambda c, x: c.save_for_backward(x) or x * 2, lambda c, g: g * c.saved_tensors[0]); y = f.apply(x * 1); y.sum().backward(); y.sum().backward()
x = leaf(); y = fn(lambda c, x: x * 2, lambda c, g: g).apply(x); y.grad_fn.needs_input_grad, y.grad_fn.name(), len(y.grad_fn.next_functions)
x = leaf(); fn(lambda c, x: c.mark_dirty(x) or x.add(1), lambda c, g: g).apply(x * 1)
x = leaf(); h = x * 1; y = fn(lambda c, x: c.mark_dirty(x) or x.mul_(3), lambda c, g: g * 3).apply(h); y.sum().backward(); y is h, x.grad, h
x = leaf(); y = fn(lambda c, x: (x * 1, x * 2), lambda c, g, h: g + 10 * h).apply(x); y[1].sum().backward(); x.grad
x = leaf(); got = []; y = fn(lambda c, x: c.set_materialize_grads(False) or (x * 1, x * 2), lambda c, g, h: got.append((g, h)) or h).apply(x); y[1].sum().backward(); got
x = leaf(); i = (x > 1).long(); y = fn(lambda c, x: c.mark_non_differentiable(m := (x > 1.5)) or (x * 2, m), lambda c, g, m: g).apply(x); y[1].requires_grad, y[0].requires_grad
x = leaf(); f = fn(lambda x, k: x * k, lambda c, g: (g * c.k, None), setup_context=staticmethod(lambda c, inputs, output: setattr(c, "k", inputs[1]))); f.apply(x, 4).sum().backward(); x.grad
x = leaf(); f = fn(lambda c, x: c.save_for_backward(x) or x ** 3, lambda c, g: g * 3 * c.saved_tensors[0] ** 2); g, = torch.autograd.grad(f.apply(x).sum(), x, create_graph=True); torch.autograd.grad(g.sum(), x)
x = leaf(); f = fn(lambda c, x: x * 2, torch.autograd.function.once_differentiable(lambda c, g: g * 2)); g, = torch.autograd.grad((f.apply(x) ** 2).sum(), x, create_graph=True); g, torch.autograd.grad(g.sum(), x)
x = leaf(); f = fn(lambda c, x: x * 2, torch.autograd.function.once_differentiable(lambda c, g: g * 2)); f.apply(x).sum().backward(); x.grad
x = leaf(); f = fn(lambda c, x: x, lambda c, g: g * 7); y = f.apply(x); y is x, y.sum().backward(), x.grad
x = leaf(); f = fn(lambda c, x: x.exp(), lambda c, g: fn(lambda c, g: g * 2, lambda c, g: g).apply(g)); f.apply(x).sum().backward(); x.grad
x = leaf(); f = fn(lambda c, x, d: x * d["k"], lambda c, g: (g, None)); f.apply(x, {"k": 2}).sum().backward(); x.grad
"""

GRAPH = """
x = leaf(); torch.autograd.grad(x.sum(), [torch.ones(3)])
x = leaf(); torch.autograd.grad(x.sum(), [])
x = leaf(); torch.autograd.grad(torch.ones(3).sum(), [x])
x = leaf(); torch.autograd.grad(x * 2, [x])
x = leaf(); torch.autograd.grad(x * 2, [x], torch.ones(2))
x = leaf(); torch.autograd.grad((x * 2, x * 3), [x], torch.ones(3))
x = leaf(); torch.autograd.grad((x * 2).sum(), [leaf()])
x = leaf(); torch.autograd.grad((x * 2).sum(), [leaf()], allow_unused=False, materialize_grads=True)
x = leaf(); torch.autograd.grad((x * 2).sum(), [leaf(), x], materialize_grads=True)
x = leaf(); torch.autograd.grad((x * x), x, torch.eye(3), is_grads_batched=True)
x = leaf(); torch.autograd.grad(x * 2, x, torch.ones(3, dtype=torch.complex64))
x = leaf(); torch.autograd.backward([x * 2, x * 3], [torch.ones(3), torch.ones(3)]); x.grad
x = leaf(); torch.autograd.backward([x * 2], [torch.ones(3), torch.ones(3)])
x = leaf(); (x * 2).sum().backward(inputs=[])
x = leaf(); torch.autograd.grad((x * 2).sum(), "a")
x = torch.ones(3, dtype=torch.complex64, requires_grad=True); (x * 2).sum().backward()
x = leaf(); x.register_hook(lambda g: 3); x.sum().backward()
x = leaf(); x.register_hook(lambda g: torch.ones(2)); x.sum().backward()
x = leaf(); x.register_hook(lambda g: g.double()); x.sum().backward()
torch.ones(3).register_hook(print)
torch.ones(3).register_post_accumulate_grad_hook(print)
x = leaf(); (x * 2).register_post_accumulate_grad_hook(print)
torch.ones(3).retain_grad()
x = leaf(); y = x.exp(); y.grad_fn._saved_result, y.grad_fn.name(), y.grad_fn.metadata, y.grad_fn.next_functions[0][1]
x = leaf(); y = x.exp(); y.sum().backward(); y.grad_fn._saved_result
x = leaf(); y = x * x; y.grad_fn._saved_self, y.grad_fn._saved_other
x = leaf(); seen = []; y = x * 2; y.grad_fn.register_prehook(lambda g: seen.append(g) or (g[0] * 10,)); y.sum().backward(); seen, x.grad
x = leaf(); seen = []; y = x * 2; y.grad_fn.register_hook(lambda i, o: seen.append((i, o)) or (i[0] * 10, None)); y.sum().backward(); seen, x.grad
x = leaf(); seen = []; a = (x * 2).grad_fn.next_functions[0][0]; a.register_hook(lambda i, o: seen.append((i, o, x.grad.clone()))); (x * 3).sum().backward(); seen, a.variable is x, a.name()
x = leaf(); seen = []; a = (x * 2).grad_fn.next_functions[0][0]; a.register_prehook(lambda g: seen.append(g)); (x * 3).sum().backward(); seen, x.grad
x = leaf(); isinstance((x * 2).grad_fn, torch.autograd.graph.Node), isinstance((x * 2).grad_fn.next_functions[0][0], torch.autograd.graph.Node)
a, b, seen = leaf(), leaf(), []; h = a * 2; a.register_post_accumulate_grad_hook(lambda p: seen.append("a")); b.register_post_accumulate_grad_hook(lambda p: seen.append("b")); h.register_hook(lambda g: seen.append("h")); ((h * 3) * b).sum().backward(); seen, a.grad, b.grad
x, seen = leaf(), []; x.register_hook(lambda g: seen.append(g)); x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone())); (x * 2 + x.exp() * 0 + x).sum().backward(); seen
x, seen = leaf(), []; x.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None)); (x * 2).sum().backward(); x.grad
x = leaf(); x.register_post_accumulate_grad_hook(lambda p: 3); x.sum().backward()
x = leaf(); e = torch.autograd.graph.get_gradient_edge(x); torch.autograd.grad((x * 2).sum(), e), e.output_nr
x = leaf(); y = x * 3; e = torch.autograd.graph.get_gradient_edge(y); z = (y * 2).sum(); torch.autograd.grad(z, [e, x])
x = leaf(); y = x * 3; e = torch.autograd.graph.get_gradient_edge(y); torch.autograd.backward(e, torch.ones(3)); x.grad
torch.autograd.graph.get_gradient_edge(torch.ones(1))
x = leaf(); seen = []; h = torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.clone()) or t, lambda t: t); h.__enter__(); y = x * x.exp(); h.__exit__(None, None, None); y.sum().backward(); x.grad, len(seen)
x = leaf(); h = torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t); h.__enter__(); y = x * x; h.__exit__(None, None, None); y.sum().backward(); x.grad
x = leaf(); h = torch.autograd.graph.saved_tensors_hooks(lambda t: 3, lambda t: t); h.__enter__(); y = x * x; h.__exit__(None, None, None); y.sum().backward()
x = leaf(); h = torch.autograd.graph.save_on_cpu(); h.__enter__(); y = (x * x).sigmoid().max(0)[0]; h.__exit__(None, None, None); y.backward(); x.grad
x = leaf(); h = torch.autograd.graph.disable_saved_tensors_hooks("not here"); h.__enter__(); e = caught(torch.autograd.graph.save_on_cpu().__enter__); h.__exit__(None, None, None); e
a, b, seen = leaf(), leaf(), []; torch.autograd.graph.register_multi_grad_hook([a, b], lambda g: seen.append(list(g))); (a * 2 + b * 3).sum().backward(); seen
a, b, seen = leaf(), leaf(), []; torch.autograd.graph.register_multi_grad_hook([a, b], lambda g: seen.append(g.sum() > 0), mode="any"); (a * 2 + b * 2).sum().backward(); seen
torch.autograd.graph.register_multi_grad_hook([leaf()], print, mode="some")
x = leaf(); y = x.exp(); torch.autograd.graph.increment_version(y); y.sum().backward()
x = torch.zeros(1, requires_grad=True); torch.autograd.set_detect_anomaly(True); y = (x - 1).sqrt(); r = quiet(lambda: torch.autograd.backward(y)); torch.autograd.set_detect_anomaly(False); r
x = torch.zeros(1, requires_grad=True); torch.autograd.set_detect_anomaly(True, check_nan=False); y = (x - 1).sqrt(); y.backward(); torch.autograd.set_detect_anomaly(False); x.grad
x = leaf(); d = x.data; d.requires_grad, torch.autograd.Variable(torch.ones(2), requires_grad=True).requires_grad
x = leaf(); y = x * 2; y.detach_(); y.requires_grad, y.is_leaf
x = leaf(); x.grad = 3
x = leaf(); x.grad = torch.ones(2)
x = leaf(); x.grad = torch.ones(3).double()
x = leaf(); x.grad = x
torch.ones(2, dtype=torch.long).requires_grad_()
torch.ones(2, dtype=torch.long, requires_grad=True)
x = leaf(); y = x * 2; y.requires_grad = False
x = leaf(); [f(x).grad_fn.name() for f in (torch.exp, torch.sigmoid, torch.relu, lambda x: x + 1, lambda x: x - 1, lambda x: x / 2, lambda x: x ** 2, lambda x: -x, lambda x: x.mean(), lambda x: x[0:2], lambda x: x[[0, 1]], lambda x: x[x > 1], lambda x: x.clone(), lambda x: x.double())]
x = torch.ones(2, 3, requires_grad=True); [f(x).grad_fn.name() for f in (lambda x: x.t(), lambda x: x.T, lambda x: x @ x.t(), lambda x: x.max(0)[0], lambda x: x.reshape(6), lambda x: x.permute(1, 0), lambda x: x.unsqueeze(0), lambda x: x.squeeze(), lambda x: x.flatten(), lambda x: x.softmax(0), lambda x: x.log_softmax(0), lambda x: torch.cat([x, x]), lambda x: torch.stack([x, x]), lambda x: x.expand(2, 2, 3), lambda x: x.var(), lambda x: x.std(), lambda x: x.norm(), lambda x: x.prod(), lambda x: x.cumsum(0), lambda x: x.masked_fill(x > 0, 1), lambda x: torch.where(x > 0, x, x), lambda x: x.gather(0, torch.zeros(1, 3).long()), lambda x: x.index_select(0, torch.tensor([0])), lambda x: x.diagonal(), lambda x: x.narrow(0, 0, 1), lambda x: x.repeat(2, 1), lambda x: x.abs(), lambda x: x.tanh(), lambda x: x.log(), lambda x: x.sqrt(), lambda x: x.pow(2), lambda x: x.logsumexp(0), lambda x: x.triu(), lambda x: x.flip(0), lambda x: x.roll(1), lambda x: x.sort(0)[0], lambda x: x.topk(1)[0], lambda x: x.mul_(1) if 0 else x.mv(x[0]), lambda x: x[0].dot(x[0]))]
"""

INFERENCE = """
i = torch.inference_mode()(lambda: torch.ones(3) * 2)(); i.is_inference(), (i * 2).is_inference()
i = torch.inference_mode()(lambda: torch.ones(3).exp().sum(0))(); i.is_inference(), (i + 1).is_inference()
i = torch.inference_mode()(lambda: torch.ones(3))(); i.is_inference(), i.requires_grad, i.clone().is_inference(), i[1:].is_inference(), i.detach().is_inference()
i = torch.inference_mode()(lambda: torch.ones(3))(); leaf() * i
i = torch.inference_mode()(lambda: torch.ones(3))(); (leaf() + i).requires_grad
i = torch.inference_mode()(lambda: torch.ones(3))(); i.add_(1)
i = torch.inference_mode()(lambda: torch.ones(3))(); i[0] = 1
i = torch.inference_mode()(lambda: torch.ones(3))(); i.requires_grad_()
i = torch.inference_mode()(lambda: torch.ones(3))(); i._version
torch.inference_mode()(lambda: (torch.is_inference_mode_enabled(), torch.is_grad_enabled(), (leaf() * 2).requires_grad))(), torch.is_inference_mode_enabled()
torch.inference_mode()(lambda: torch.inference_mode(False)(lambda: (torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.ones(1).is_inference()))())()
n = torch.ones(3); torch.inference_mode()(lambda: (n[1:].is_inference(), n.add_(1).is_inference()))(), n
torch.inference_mode(lambda: torch.ones(1).is_inference())()
f = torch.no_grad()(lambda: torch.is_grad_enabled()); f(), torch.is_grad_enabled()
f = torch.set_grad_enabled(False); r = torch.is_grad_enabled(); torch.set_grad_enabled(True); r
f = torch.set_grad_enabled(False)(lambda: torch.is_grad_enabled()); torch.is_grad_enabled(), f()
torch.no_grad(lambda: torch.is_grad_enabled())()
torch.enable_grad(lambda: torch.no_grad()(lambda: torch.enable_grad()(lambda: torch.is_grad_enabled())())())()
"""

FUNCTIONAL = """
F.jacobian(lambda x: x.exp().sum(0), torch.ones(2, 2))
F.jacobian(lambda x, y: (x * y, x.sum()), (torch.ones(2), torch.full((2,), 3.0)))
F.jacobian(lambda x: x.exp(), torch.ones(2), vectorize=True)
F.jacobian(lambda x: (x * x).sum(), torch.ones(2), create_graph=True).requires_grad
F.jacobian(lambda x: torch.ones(2), torch.ones(2), strict=True)
F.jacobian(lambda x, y: x * 2, (torch.ones(2), torch.ones(2)), strict=True)
F.jacobian(lambda x: 3, torch.ones(2))
F.jacobian(lambda x: x, 3)
F.jacobian(lambda x: (x, 3), torch.ones(1))
F.jacobian(lambda x: x, (torch.ones(1), 3))
F.jacobian(lambda x: x * 2, torch.ones(2), strategy="sideways")
F.jacobian(lambda x: x * 2, torch.ones(2), strategy="forward-mode")
F.jacobian(lambda x: x ** 2, torch.ones(2), strategy="forward-mode", vectorize=True)
F.hessian(lambda x: (x ** 3).sum(), torch.tensor([1.0, 2.0]))
F.hessian(lambda x, y: (x * y ** 2).sum(), (torch.ones(2), torch.full((2,), 3.0)))
F.hessian(lambda x: x ** 3, torch.tensor([1.0, 2.0]))
F.hessian(lambda x: (x.sum(), x.sum()), torch.tensor([1.0, 2.0]))
F.hessian(lambda x: x.sum(), torch.ones(2), strict=True)
F.vjp(lambda x: x.exp(), torch.zeros(2), torch.tensor([1.0, 2.0]))
F.vjp(lambda x: x.exp().sum(), torch.zeros(2))
F.vjp(lambda x: x.exp(), torch.zeros(2))
F.vjp(lambda x: x.exp(), torch.zeros(2), torch.ones(3))
F.vjp(lambda x: x.exp(), torch.zeros(2), (torch.ones(2), torch.ones(2)))
F.jvp(lambda x: x.exp(), torch.zeros(2), torch.tensor([1.0, 2.0]))
F.jvp(lambda x: x.exp(), torch.zeros(1))
F.jvp(lambda x: x.exp(), torch.zeros(2))
F.jvp(lambda x, y: (x * y, x), (torch.ones(2), torch.ones(2)), (torch.ones(2), torch.ones(2)))
F.jvp(lambda x: torch.ones(2), torch.ones(2), torch.ones(2), strict=True)
F.vhp(lambda x: (x ** 3).sum(), torch.ones(2), torch.tensor([1.0, 2.0]))
F.hvp(lambda x: (x ** 3).sum(), torch.ones(2), torch.tensor([1.0, 2.0]))
F.hvp(lambda x, y: (x ** 2 * y).sum(), (torch.ones(2), torch.ones(2)), (torch.ones(2), torch.zeros(2)))
F.hvp(lambda x: (x ** 3).sum(), torch.ones(2), torch.ones(3))
F.vhp(lambda x: x.sum(), torch.ones(2), torch.ones(2))
F.vhp(lambda x: x.sum(), torch.ones(2), torch.ones(2), strict=True)
A = torch.autograd.forward_ad; l = A.dual_level(); l.__enter__(); d = A.make_dual(torch.ones(2), torch.tensor([1.0, 2.0])); r = A.unpack_dual(d.exp() * d); l.__exit__(None, None, None); tuple(r)
A = torch.autograd.forward_ad; l = A.dual_level(); l.__enter__(); r = A.unpack_dual(torch.ones(2)); l.__exit__(None, None, None); tuple(r)
torch.autograd.forward_ad.make_dual(torch.ones(2), torch.ones(2))
"""

TRANSFORMS = """
torch.func.grad(lambda x: (x ** 3).sum())(torch.tensor([1.0, 2.0]))
torch.func.grad(torch.func.grad(lambda x: x ** 3))(torch.tensor(2.0))
torch.func.grad(lambda x, y: (x * y).sum(), argnums=1)(torch.ones(2), torch.zeros(2))
torch.func.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(torch.ones(2), torch.zeros(2))
torch.func.grad(lambda d: (d["a"] ** 2).sum() + d["b"])({"a": torch.ones(2), "b": torch.tensor(3.0)})
torch.func.grad(lambda x: (x.sum(), x * 2), has_aux=True)(torch.ones(2))
torch.func.grad_and_value(lambda x: x.sum())(torch.ones(2))
torch.func.grad(lambda x: x * 2)(torch.ones(2))
torch.func.grad(lambda x: 3)(torch.ones(2))
torch.func.grad(lambda x: x.sum(), argnums=2)(torch.ones(2))
torch.func.grad(lambda x: x.sum())(torch.ones(2)).requires_grad, torch.func.grad(lambda x: (x * x).sum())(leaf()).requires_grad
o, f = torch.func.vjp(lambda x: x.exp(), torch.zeros(2)); o, f(torch.tensor([1.0, 2.0]))
o, f = torch.func.vjp(lambda x, y: (x * y, x), torch.ones(2), torch.ones(2)); o, f((torch.ones(2), torch.ones(2)))
torch.func.jvp(lambda x: x.exp(), (torch.zeros(2),), (torch.tensor([1.0, 2.0]),))
torch.func.jvp(lambda x, y: x * y, (torch.ones(2), torch.ones(2)), (torch.ones(2), torch.zeros(2)))
torch.func.jvp(lambda x: torch.logcumsumexp(x, 0), (torch.tensor([0.5, -1.0, 2.0]),), (torch.tensor([1.0, 2.0, -3.0]),))
torch.func.jacrev(lambda x: x ** 2)(torch.tensor([1.0, 2.0]))
torch.func.jacrev(lambda x, y: x * y, argnums=(0, 1))(torch.ones(2), torch.zeros(2))
torch.func.jacfwd(lambda x: x ** 2)(torch.tensor([1.0, 2.0]))
torch.func.jacfwd(lambda x: x.sum() * x)(torch.ones(2, 2)).shape
torch.func.jacfwd(lambda x, y: x * y, argnums=(0, 1))(torch.ones(2), torch.zeros(2))
torch.func.hessian(lambda x: (x ** 3).sum())(torch.tensor([1.0, 2.0]))
torch.func.vmap(lambda x, y: (x * y).sum())(torch.ones(3, 2), torch.arange(6.0).reshape(3, 2))
torch.func.vmap(lambda x, y: x + y, in_dims=(0, None))(torch.ones(3), torch.ones(2))
torch.func.vmap(lambda x: x, in_dims=1, out_dims=1)(torch.arange(6).reshape(2, 3))
torch.func.vmap(lambda x: (x, x * 2), out_dims=(0, 1))(torch.arange(6).reshape(2, 3))
torch.func.vmap(torch.func.grad(lambda x: (x ** 2).sum()))(torch.arange(6.0).reshape(3, 2))
torch.func.vmap(lambda d: d["a"] + d["b"], in_dims=({"a": 0, "b": None},))({"a": torch.ones(3), "b": torch.ones(2)})
torch.func.vmap(lambda x, y: x + y)(torch.ones(3), torch.ones(2))
torch.func.vmap(torch.sum, in_dims=0)(3)
torch.func.vmap(torch.sum, in_dims=3)(torch.ones(3))
torch.func.vmap(lambda x: x + torch.rand(1), randomness="sometimes")(torch.ones(3))
torch.func.vmap(lambda x: x + torch.rand(1))(torch.ones(3))
m = torch.nn.Linear(2, 1); torch.func.functional_call(m, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, torch.ones(2)), m.weight.requires_grad
m = torch.nn.Sequential(torch.nn.Linear(2, 1)); p = dict(m.named_parameters()); g = torch.func.grad(lambda p, x: torch.func.functional_call(m, p, (x,)).sum())(p, torch.ones(2)); sorted(g), g["0.weight"]
p, b = torch.func.stack_module_state([torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)]); sorted((n, t.shape, t.requires_grad) for n, t in p.items()), b
"""

CHECKPOINT = """
x = leaf(); C(lambda x: x.exp().sin(), x, use_reentrant=False).sum().backward(); x.grad
x = leaf(); C(lambda x: x.exp().sin(), x, use_reentrant=True).sum().backward(); x.grad
x = leaf(); n = []; y = C(lambda x: n.append(1) or (x.exp() * x).sin(), x, use_reentrant=False); a = len(n); y.sum().backward(); a, len(n), x.grad
x = leaf(); n = []; y = C(lambda x: n.append(1) or (x.exp() * x).sin(), x, use_reentrant=True); a = len(n); y.sum().backward(); a, len(n), x.grad
x = leaf(); m = torch.nn.Dropout(0.5); y = C(lambda x: m(x) * x, x, use_reentrant=False); y.sum().backward(); torch.equal(x.grad, torch.autograd.grad((y * 1).sum(), x, allow_unused=True)[0]) if 0 else (y, x.grad)
x = leaf(); y = C(lambda x: x * torch.rand(3), x, use_reentrant=True); y.sum().backward(); y, x.grad
x = leaf(); torch.autograd.grad(C(lambda x: x.exp() * 2, x, use_reentrant=False).sum(), x)
x = leaf(); torch.autograd.grad(C(lambda x: x.exp() * 2, x, use_reentrant=True).sum(), x)
x = leaf(); y = C(lambda x, k=1: x.exp() * k, x, k=3, use_reentrant=False).sum(); y.backward(retain_graph=True); y.backward(); x.grad
x = leaf(); y = C(lambda x: C(lambda x: x.exp(), x, use_reentrant=False).sin(), x, use_reentrant=False).sum(); y.backward(); x.grad
x = leaf(); s = [1]; y = C(lambda x: (s.append(1) or x.exp() if len(s) < 2 else x.exp().exp().sin().cos()).sin(), x, use_reentrant=False, early_stop=False).sum(); type(caught(y.backward)).__name__, str(caught(y.backward)).split(".")[2][:60]
x = leaf(); s = [1]; y = C(lambda x: x[: s[0]].exp() if s.append(1) or len(s) < 3 else x.exp(), x, use_reentrant=False).sum(); str(caught(y.backward)).splitlines()[:1]
x = leaf(); C(lambda x: x, x, use_reentrant=True, k=2)
x = leaf(); torch.utils.checkpoint.checkpoint_sequential([torch.exp, torch.sin, torch.cos], 2, x, use_reentrant=False).sum().backward(); x.grad
x = leaf(); torch.utils.checkpoint.checkpoint_sequential(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU()), 2, x, use_reentrant=True).sum().backward(); x.grad
w = leaf(); x = torch.ones(3); C(lambda x: x * w, x, use_reentrant=False).sum().backward(); w.grad
"""

GRADCHECK = """
G(lambda x: x ** 3, leaf().double().detach().requires_grad_())
G(lambda x: x.detach() * 1 + x * 0 + x, leaf().double().detach().requires_grad_())
G(fn(lambda c, x: x * 2, lambda c, g: g * 3).apply, torch.ones(2, dtype=torch.double, requires_grad=True))
G(fn(lambda c, x: x * 2, lambda c, g: g * 3).apply, torch.ones(2, dtype=torch.double, requires_grad=True), raise_exception=False)
G(lambda x, y: (x * y, x.sum()), (torch.ones(2, dtype=torch.double, requires_grad=True), torch.ones(2, dtype=torch.double)))
G(lambda x: x, torch.ones(2))
G(lambda x: x * 2, torch.ones(1, dtype=torch.double, requires_grad=True).expand(2))
G(lambda x: x.exp(), torch.ones(2, dtype=torch.cdouble, requires_grad=True))
G(lambda x: (x * x).abs(), torch.full((2,), 1 + 2j, dtype=torch.cdouble, requires_grad=True))
G(lambda x: x.detach() * 3, torch.ones(2, dtype=torch.double, requires_grad=True))
G(lambda x: x.exp(), torch.ones(2, dtype=torch.double, requires_grad=True), check_forward_ad=True, check_batched_grad=True)
torch.autograd.gradgradcheck(lambda x: x ** 3, torch.ones(2, dtype=torch.double, requires_grad=True))
torch.autograd.gradgradcheck(lambda x, y: x ** 3 * y, (torch.ones(2, dtype=torch.double, requires_grad=True), torch.ones(2, dtype=torch.double, requires_grad=True)), gen_non_contig_grad_outputs=True)
torch.autograd.gradgradcheck(fn(lambda c, x: c.save_for_backward(x) or x ** 2, lambda c, g: g * 2 * c.saved_tensors[0].detach()).apply, torch.ones(2, dtype=torch.double, requires_grad=True), raise_exception=False)
"""

TOPICS = {"function": FUNCTION, "graph": GRAPH, "inference": INFERENCE, "functional": FUNCTIONAL}
TOPICS |= {"transforms": TRANSFORMS, "checkpoint": CHECKPOINT, "gradcheck": GRADCHECK}


def questions(topic: str) -> list[str]:
    """The questions of `topic`, in order."""
    return TOPICS[topic].strip().splitlines()


def check(topic: str) -> Any:
    """A test that asks our stack all questions of `topic`, one by one."""
    return golden.check(topic, questions(topic), FILE)


if __name__ == "__main__":
    import torch
    import torch.utils.checkpoint

    answers = {t: {q: golden.answer(torch, t, q) for q in questions(t)} for t in TOPICS}
    FILE.write_text(json.dumps(answers, indent=0) + "\n")

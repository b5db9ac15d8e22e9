# ruff: noqa: E501 one line a question
"""More questions as in `golden.py`: folds, views, joining, choice and placement.

The answers: `golden_shapes.json`. To add a question write it below and run
`python -m tests.tensor.golden_shapes` where PyTorch is installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tensor import golden

FILE = Path(__file__).with_name("golden_shapes.json")

FOLDS = r"""
torch.var(torch.ones(3,dtype=torch.int64))
torch.norm(torch.ones(3,dtype=torch.int64))
torch.softmax(torch.ones(3,dtype=torch.int64),0)
torch.log_softmax(torch.ones(3,3,dtype=torch.int64),0)
torch.sum(torch.ones(3,3),(0,0))
torch.sum(torch.ones(3,3),3)
torch.argmax(torch.ones(0))
torch.hash_tensor(torch.tensor([1.0, 2.0, -0.5], dtype=torch.bfloat16)).item()
torch.hash_tensor(torch.tensor([-1, 5], dtype=torch.int8)).item()
torch.hash_tensor(torch.tensor(True)).item()
x = torch.arange(6.0).reshape(2, 3); torch.hash_tensor(x,1,keepdim=True).shape, [h.item() for h in x.hash_tensor((-1,))]
torch.hash_tensor(torch.ones(0))
torch.hash_tensor(torch.ones(0,2),0)
torch.hash_tensor(torch.ones(2),mode=1)
torch.hash_tensor(torch.ones(2)+0j)
torch.hash_tensor(torch.ones(2),out=torch.empty(0))
torch.max(torch.ones(0,2),0)
torch.median(torch.ones(0))
torch.median(torch.ones(0,2),0)
torch.kthvalue(torch.ones(0),1)
torch.mode(torch.ones(0))
torch.mode(torch.ones(0,2),0)
torch.cummax(torch.ones(0,2),0)
torch.softmax(torch.ones(2),2)
torch.histc(torch.ones(3),0)
torch.histc(torch.ones(3),3,2,1)
torch.var_mean(torch.ones(3,dtype=torch.int64))
torch.nanmean(torch.ones(3,dtype=torch.int64))
torch.logsumexp(torch.ones(0),0)
torch.logcumsumexp(torch.ones(3,dtype=torch.int64),0)
torch.any(torch.ones(2,2),())
torch.all(torch.ones(2,2),())
torch.sum(torch.ones(2,2),())
torch.amax(torch.ones(2,2),())
torch.median(torch.tensor([1.,nan,3.]))
torch.median(torch.tensor([1.,nan,3., nan]),0)
torch.nanmedian(torch.tensor([1.,nan,3., nan]),0)
torch.nanmedian(torch.tensor([nan, nan]),0)
torch.mode(torch.tensor([1.,3.,1.,3.,0]))
torch.diff(torch.tensor(1.))
torch.cummax(torch.tensor([1.,3,3,2]),0)
torch.dist(torch.ones(2,dtype=torch.int64),torch.ones(2))
torch.count_nonzero(torch.ones(2,3),(0,0))
torch.std(torch.ones(1))
torch.std(torch.ones(2,3), ())
torch.cumsum(torch.ones(2,dtype=torch.bool),0)
torch.norm(torch.ones(2,2),"nuc",dim=0)
torch.norm(torch.ones(2,2),"foo")
torch.histogram(torch.tensor([1.,2,3,4]),4)
torch.histogram(torch.tensor([1.,1,1]),4)
torch.histogram(torch.tensor([]),4)
torch.histogramdd(torch.rand(5,2),bins=[2,2])
torch.histc(torch.tensor([1.,1,1]),4)
torch.histc(torch.tensor([1.,2,5]),4)
torch.histogram(torch.tensor([1.,2,3,4]),4,density=True,weight=torch.tensor([1.,2,3,4]))
torch.histogram(torch.tensor([1.,2,3,4]),4,range=(2.,1.))
torch.histogram(torch.tensor([1.,2,3,4]),torch.tensor([3.,1.]))
torch.quantile(torch.rand(3),torch.tensor([.5,.2],dtype=torch.float64))
torch.quantile(torch.ones(3,dtype=torch.int64),.5)
torch.quantile(torch.ones(0),.5)
torch.quantile(torch.ones(3),.5,interpolation="a")
torch.quantile(torch.ones(3),torch.ones(1,1))
torch.bincount(torch.tensor([1,2]),weights=torch.tensor([1.,2.]))
torch.bincount(torch.tensor([1.]))
torch.bincount(torch.tensor([-1]))
torch.bincount(torch.tensor([[1]]))
torch.bincount(torch.tensor([1]),minlength=-1)
torch.searchsorted(torch.tensor([1.,2]),1.5)
torch.searchsorted(torch.tensor([[1.,2]]),1.5)
torch.searchsorted(torch.tensor([[1.,2]]),torch.tensor([1.,2.]))
torch.searchsorted(torch.tensor([1.,2]),torch.tensor([1.]),right=True,side="left")
torch.searchsorted(torch.tensor([1.,2]),torch.tensor([1.]),side="lft")
torch.searchsorted(torch.tensor([1.,2]),torch.tensor([1]))
torch.searchsorted(torch.tensor([1.,2]),torch.tensor([1.]),sorter=torch.tensor([0.]))
torch.searchsorted(torch.tensor([1.,2]),torch.tensor([1.]),sorter=torch.tensor([0]))
torch.searchsorted(torch.tensor([1.,2]),torch.tensor([1.]),sorter=torch.tensor([0,5]))
torch.unique(torch.tensor([3,1,2,1]),return_inverse=True,return_counts=True)
torch.unique(torch.tensor([3,1,2,1]),sorted=False,return_counts=True)
torch.unique(torch.tensor([[3,1],[3,1]]),dim=0,return_inverse=True)
torch.unique(torch.tensor([1.,nan,nan]))
torch.unique_consecutive(torch.tensor([[1,1],[2,2]]),return_inverse=True,return_counts=True)
torch.unique(torch.tensor(3),return_inverse=True)
torch.topk(torch.tensor(3.),1)
torch.topk(torch.ones(3),4)
torch.kthvalue(torch.ones(3),0)
torch.kthvalue(torch.tensor(1.),1)
torch.sort(torch.tensor([1.,nan,0]),descending=True)
torch.topk(torch.tensor([1.,nan,0,7,nan]),3)
torch.argsort(torch.tensor([3,1,2]), dim=0, descending=True, stable=True)
torch.sort(torch.tensor([3,1,2]), stable=True, dim=0)
torch.sort(torch.ones(2,dtype=torch.complex64))
torch.topk(torch.tensor([3,3,3,1]),2)
"""

VIEWS = r"""
x = torch.arange(6.0).reshape(2, 3); x.split(0)
x = torch.arange(6.0).reshape(2, 3); x.split(-1)
x = torch.arange(6.0).reshape(2, 3); x[0,0].split(1)
x = torch.arange(6.0).reshape(2, 3); x.split([1,2])
x = torch.arange(6.0).reshape(2, 3); x.split([1,-1,2])
x = torch.arange(6.0).reshape(2, 3); x.chunk(0)
x = torch.arange(6.0).reshape(2, 3); x[0,0].chunk(1)
torch.zeros(0,2).chunk(3)
x = torch.arange(6.0).reshape(2, 3); x.unbind(3)
x = torch.arange(6.0).reshape(2, 3); x.tensor_split(0)
x = torch.arange(6.0).reshape(2, 3); x.tensor_split((1,5,-1),1)
x = torch.arange(6.0).reshape(2, 3); x.tensor_split(torch.tensor([1,2]),1)
x = torch.arange(6.0).reshape(2, 3); x.tensor_split(torch.tensor(2),1)
x = torch.arange(6.0).reshape(2, 3); x.tensor_split(torch.tensor([[1]]),1)
x = torch.arange(6.0).reshape(2, 3); x[0,0].tensor_split(1)
x = torch.arange(6.0).reshape(2, 3); x.expand(3)
x = torch.arange(6.0).reshape(2, 3); x.expand(-1,2,3)
x = torch.arange(6.0).reshape(2, 3); x.expand(2,4)
x = torch.arange(6.0).reshape(2, 3); x.expand(2,-1)
x = torch.arange(6.0).reshape(2, 3); x.permute(0)
x = torch.arange(6.0).reshape(2, 3); x.permute(0,0)
x = torch.arange(6.0).reshape(2, 3); x.permute(0,3)
x = torch.arange(6.0).reshape(2, 3); x.permute(1,0)
x = torch.arange(6.0).reshape(2, 3); x.permute((1,0))
x = torch.arange(6.0).reshape(2, 3); x.transpose(0,2)
x = torch.arange(6.0).reshape(2, 3); x.movedim(0,5)
x = torch.arange(6.0).reshape(2, 3); x.unsqueeze(3)
x = torch.arange(6.0).reshape(2, 3); x.squeeze(2)
x = torch.arange(6.0).reshape(2, 3); x.squeeze((0,0))
x = torch.arange(6.0).reshape(2, 3); x.flatten(1,0)
x = torch.arange(6.0).reshape(2, 3); x.flatten(3)
x = torch.arange(6.0).reshape(2, 3); x.unflatten(1,(2,2))
x = torch.arange(6.0).reshape(2, 3); x.unflatten(1,(3,1))
x = torch.arange(6.0).reshape(2, 3); x.unflatten(1,())
x = torch.arange(6.0).reshape(2, 3); x.repeat(2)
x = torch.arange(6.0).reshape(2, 3); x.repeat(2,-1)
x = torch.arange(6.0).reshape(2, 3); x.repeat(())
x = torch.arange(6.0).reshape(2, 3); x.tile(2)
x = torch.arange(6.0).reshape(2, 3); x.tile((2,1,1))
x = torch.arange(6.0).reshape(2, 3); x.roll(1,())
x = torch.arange(6.0).reshape(2, 3); x.roll((1,2))
x = torch.arange(6.0).reshape(2, 3); x.flip(2)
x = torch.arange(6.0).reshape(2, 3); x.flip((0,0))
x = torch.arange(6.0).reshape(2, 3); x.flip(0,1)
x = torch.arange(6.0).reshape(2, 3); x.unfold(0,3,1)
x = torch.arange(6.0).reshape(2, 3); x.unfold(0,1,0)
x = torch.arange(6.0).reshape(2, 3); x.unfold(0,-1,1)
x = torch.arange(6.0).reshape(2, 3); x.unfold(5,1,1)
x = torch.arange(6.0).reshape(2, 3); x[0,0].unfold(0,1,1)
x = torch.arange(6.0).reshape(2, 3); x.narrow(0,torch.tensor(1),1)
x = torch.arange(6.0).reshape(2, 3); x.view(5)
x = torch.arange(6.0).reshape(2, 3); x.t().view(6)
x = torch.arange(6.0).reshape(2, 3); x.view(torch.int64)
x = torch.arange(6.0).reshape(2, 3); x.view(torch.float64)
x = torch.arange(6.0).reshape(2, 3); x[:,:2].view(torch.float64)
x = torch.arange(6.0).reshape(2, 3); x.view(torch.uint8).shape
x = torch.arange(6.0).reshape(2, 3); x.view(-2,3)
x = torch.arange(6.0).reshape(2, 3); x.T.T.shape
x = torch.arange(6.0).reshape(2, 3); x[0].mT
x = torch.arange(6.0).reshape(2, 3); x.unsqueeze(0).H
x = torch.arange(6.0).reshape(2, 3); x[0,0].H
x = torch.arange(6.0).reshape(2, 3); x.unsqueeze(0).T
x = torch.arange(6.0).reshape(2, 3); torch.adjoint(x[0])
torch.stack([])
x = torch.arange(6.0).reshape(2, 3); torch.stack([x,x[0]])
x = torch.arange(6.0).reshape(2, 3); torch.stack(x)
x = torch.arange(6.0).reshape(2, 3); torch.cat([x,1])
torch.cat(5)
x = torch.arange(6.0).reshape(2, 3); torch.cat(x)
x = torch.arange(6.0).reshape(2, 3); torch.cat([x,x],5)
x = torch.arange(6.0).reshape(2, 3); torch.cat([torch.zeros(0),x])
x = torch.arange(6.0).reshape(2, 3); torch.cat([x, x.long()]).dtype
x = torch.arange(6.0).reshape(2, 3); torch.hstack([x,x[0]])
x = torch.arange(6.0).reshape(2, 3); torch.column_stack([x,x[0]])
x = torch.arange(6.0).reshape(2, 3); torch.column_stack([x[0],x[0]])
x = torch.arange(6.0).reshape(2, 3); torch.atleast_2d(x[0],torch.tensor(1))
torch.atleast_1d([torch.tensor(1)])
x = torch.arange(6.0).reshape(2, 3); torch.atleast_3d(x)
torch.broadcast_shapes((2,1),(3,),(1,1))
torch.broadcast_shapes((2,1),(3,1))
torch.broadcast_shapes(2,(1,))
x = torch.arange(6.0).reshape(2, 3); torch.broadcast_tensors(x,torch.ones(2))
x = torch.arange(6.0).reshape(2, 3); torch.block_diag(x,torch.tensor(1),x[0])
torch.block_diag(torch.ones(1,1,1))
torch.cartesian_prod(torch.tensor([1,2]))
x = torch.arange(6.0).reshape(2, 3); torch.cartesian_prod(x)
torch.combinations(torch.tensor([1,2,3]),0)
torch.combinations(torch.tensor([1,2,3]),-1)
x = torch.arange(6.0).reshape(2, 3); torch.combinations(x,2)
torch.combinations(torch.tensor([1,2]),2,with_replacement=True)
x = torch.arange(6.0).reshape(2, 3); torch.meshgrid(x[0],torch.tensor([1]),indexing="foo")
x = torch.arange(6.0).reshape(2, 3); torch.meshgrid(x[0],torch.tensor([1]))
torch.meshgrid()
x = torch.arange(6.0).reshape(2, 3); torch.diag_embed(x,1,0,-1)
x = torch.arange(6.0).reshape(2, 3); torch.diagflat(x[0,0])
x = torch.arange(6.0).reshape(2, 3); x.diagonal(5)
x = torch.arange(6.0).reshape(2, 3); x[0].diagonal()
x = torch.arange(6.0).reshape(2, 3); x.diagonal_scatter(torch.ones(3))
x = torch.arange(6.0).reshape(2, 3); x.select_scatter(torch.ones(2),0,0)
x = torch.arange(6.0).reshape(2, 3); x.select_scatter(torch.ones(3),0,5)
x = torch.arange(6.0).reshape(2, 3); x.slice_scatter(torch.ones(1,3),0,0,1)
x = torch.arange(6.0).reshape(2, 3); x.slice_scatter(torch.ones(2,3),0,0,1)
x = torch.arange(6.0).reshape(2, 3); x.slice_scatter(torch.ones(1,3),0,-1)
x = torch.arange(6.0).reshape(2, 3); x.as_strided((2,2),(1,2))
x = torch.arange(6.0).reshape(2, 3); x.as_strided((2,2),(1,2),3)
x = torch.arange(6.0).reshape(2, 3); x.as_strided((2,2),(1,))
x = torch.arange(6.0).reshape(2, 3); x.as_strided((2,2),(1,-1))
x = torch.arange(6.0).reshape(2, 3); x.as_strided((-2,2),(1,1))
x = torch.arange(6.0).reshape(2, 3); x.as_strided_scatter(torch.ones(2,2),(2,2),(1,2))
x = torch.arange(6.0).reshape(2, 3); x.as_strided_scatter(torch.ones(2),(2,2),(1,2))
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(2)
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(torch.tensor([1,2]),0)
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(torch.tensor([1,2]))
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(torch.tensor([1,2,3]),0)
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(-1)
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(torch.tensor([1.,2]),0)
torch.repeat_interleave(torch.tensor([1,2]))
x = torch.arange(6.0).reshape(2, 3); x.repeat_interleave(torch.tensor([1,2]),0,output_size=4)
x = torch.arange(6.0).reshape(2, 3); x.rot90(1,(0,0))
x = torch.arange(6.0).reshape(2, 3); x.trace()
x = torch.arange(6.0).reshape(2, 3); x[0].trace()
x = torch.arange(6.0).reshape(2, 3); x[0].tril()
x = torch.arange(6.0).reshape(2, 3); x.resize_(3)
x = torch.arange(6.0).reshape(2, 3); x.resize_(4,2).shape
x = torch.arange(6.0).reshape(2, 3); x.resize_as_(x[0])
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().resize_(2)
x = torch.arange(6.0).reshape(2, 3); x.sum_to_size(1,3)
x = torch.arange(6.0).reshape(2, 3); x.sum_to_size(4)
x = torch.arange(6.0).reshape(2, 3); x.swapaxes(0,1).shape
x = torch.arange(6.0).reshape(2, 3); x.squeeze_()
x = torch.arange(6.0).reshape(2, 3); x.unsqueeze_(0)
x = torch.arange(6.0).reshape(2, 3); x.t_()
x = torch.arange(6.0).reshape(2, 3); x.transpose_(0,1)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().unsqueeze_(0)
x = torch.arange(6.0).reshape(2, 3); x.contiguous(memory_format=torch.channels_last)
x = torch.arange(6.0).reshape(2, 3); x.is_contiguous(memory_format=torch.channels_last)
torch.ones(1,2,3,3).contiguous(memory_format=torch.channels_last).stride()
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().clone().unbind()[1].mul_(2)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().clone().split(1)[1].mul_(2)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().clone().split([1,1])[1][0].mul_(2)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().clone().unsafe_split(1)[1].mul_(2)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().clone().tensor_split(2)[1].mul_(2)
x = torch.arange(6.0).reshape(2, 3); list(x.requires_grad_())[0]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().chunk(2)[0]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().hsplit(3)[0]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().reshape(6)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().t().reshape(6)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().flatten()
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().ravel()
x = torch.arange(6.0).reshape(2, 3); x[0].flatten() is x
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().movedim(0,1)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().T
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_()[0:1,None]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_()[0,1]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_()[None]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_()[...]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_()[[0]]
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().expand(1,2,3)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().view(6)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().diag()
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().swapaxes(0,1)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().flip(0)
x = torch.arange(6.0).reshape(2, 3); x.requires_grad_().mT
x = torch.arange(6.0).reshape(2, 3); x.storage_offset()
x = torch.arange(6.0).reshape(2, 3); x[1].storage_offset()
x = torch.arange(6.0).reshape(2, 3); x.unsafe_chunk(2)
"""

CHOICE = r"""
x = torch.arange(6.0).reshape(2, 3); x[5]
x = torch.arange(6.0).reshape(2, 3); x[0,5]
x = torch.arange(6.0).reshape(2, 3); x[0,0,0]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([0,5])]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([0,1]),torch.tensor([0,1,2])]
x = torch.arange(6.0).reshape(2, 3); x[1.0]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor(1.)]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([1.])]
x = torch.arange(6.0).reshape(2, 3); x["a"]
x = torch.arange(6.0).reshape(2, 3); x[[0,1]]
x = torch.arange(6.0).reshape(2, 3); x[[[0,1],[1,0]]]
x = torch.arange(6.0).reshape(2, 3); x[[[0,1],[1,0]],0]
x = torch.arange(6.0).reshape(2, 3); x[[torch.tensor(0),torch.tensor(1)]]
x = torch.arange(6.0).reshape(2, 3); x[(0,1),]
x = torch.arange(6.0).reshape(2, 3); x[[0,1],[0,1]]
x = torch.arange(6.0).reshape(2, 3); x[::-1]
x = torch.arange(6.0).reshape(2, 3); x[0:2:0]
x = torch.arange(6.0).reshape(2, 3); x[True]
x = torch.arange(6.0).reshape(2, 3); x[False]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor(True)]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor(True), torch.tensor([0,1])]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([True,False])]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([True,False,True])]
x = torch.arange(6.0).reshape(2, 3); x[:, torch.tensor([True,False])]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([1,0],dtype=torch.uint8)]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor(1,dtype=torch.uint8)]
x = torch.arange(6.0).reshape(2, 3); x[range(2)]
x = torch.arange(6.0).reshape(2, 3); x[0][0][0]
x = torch.arange(6.0).reshape(2, 3); x[0,0][:1]
x = torch.arange(6.0).reshape(2, 3); x[0,0][...]
x = torch.arange(6.0).reshape(2, 3); x[0,0][None]
x = torch.arange(6.0).reshape(2, 3); x[0,0][torch.tensor(True)]
x = torch.arange(6.0).reshape(2, 3); x[0,0][[0]]
x = torch.arange(6.0).reshape(2, 3); x[...,...]
x = torch.arange(6.0).reshape(2, 3); x[..., 0, ...]
x = torch.arange(6.0).reshape(2, 3); x[None,...,None]
x = torch.arange(6.0).reshape(2, 3); x[()]
x = torch.arange(6.0).reshape(2, 3); x[1.5:2]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor(1):]
x = torch.arange(6.0).reshape(2, 3); x[[True,False]]
x = torch.arange(6.0).reshape(2, 3); x[[[True,False,True],[True,True,False]]]
x = torch.arange(6.0).reshape(2, 3); x[[]]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([])]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([],dtype=torch.int64)]
x = torch.arange(6.0).reshape(2, 3); x[None]
x = torch.arange(6.0).reshape(2, 3); x[{0}]
x = torch.arange(6.0).reshape(2, 3); x[0:1, [True,False,True]]
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([[0,1]]),:,None]
x = torch.arange(6.0).reshape(2, 3); x[5]=1; x
x = torch.arange(6.0).reshape(2, 3); x[0]=torch.tensor([1.,2.]); x
x = torch.arange(6.0).reshape(2, 3); x[0]=torch.tensor([[1.,2.,3.]]); x
x = torch.arange(6.0).reshape(2, 3); x[0]=torch.tensor([[1.,2.,3.],[1,2,3]]); x
x = torch.arange(6.0).reshape(2, 3); x[[0,1]]=torch.tensor([1.,2.]); x
x = torch.arange(6.0).reshape(2, 3); x[[0,1]]=torch.tensor([1.,2.,3.],dtype=torch.float64); x
x = torch.arange(6.0).reshape(2, 3); x[0]=torch.tensor([1.,2.,3.],dtype=torch.float64); x
x = torch.arange(6.0).reshape(2, 3); x[[0,1]]=1+2j; x
x = torch.arange(6.0).reshape(2, 3); x[0]=1+2j; x
x = torch.arange(6.0).reshape(2, 3); x[0]="a"; x
x = torch.arange(6.0).reshape(2, 3); x[0]=[1,2,3]; x
x = torch.arange(6.0).reshape(2, 3); x[[0]]=[1,2,3]; x
x = torch.arange(6.0).reshape(2, 3); x[x>2]=torch.tensor([7.,8.]); x
x = torch.arange(6.0).reshape(2, 3); x[x>2]=torch.tensor(7); x
x = torch.arange(6.0).reshape(2, 3); x[x>2]=torch.tensor([7]); x
x = torch.arange(6.0).reshape(2, 3); x[x>2]=torch.tensor([[[7.]]]); x
x = torch.arange(6.0).reshape(2, 3); x[[0,1]]=torch.tensor([[[[1.,2,3]]]]); x
x = torch.arange(6.0).reshape(2, 3); x[True]=5; x
x = torch.arange(6.0).reshape(2, 3); x[False]=5; x
x = torch.arange(6.0).reshape(2, 3); x[0:5]=3; x
x = torch.arange(6.0).reshape(2, 3); x[torch.tensor([0,5])]=3; x
x = torch.arange(6.0).reshape(2, 3); torch.index_put(x,(torch.tensor([0,1]),),torch.tensor(1))
x = torch.arange(6.0).reshape(2, 3); torch.index_put(x,(torch.tensor([0,1]),),torch.tensor([1.,2.]))
x = torch.arange(6.0).reshape(2, 3); torch.index_put(x,(torch.tensor([0.,1]),),torch.tensor(1.))
x = torch.arange(6.0).reshape(2, 3); torch.index_put(x,(None,torch.tensor([0,1])),torch.tensor(1.))
x = torch.arange(6.0).reshape(2, 3); x.masked_fill(torch.tensor([1,0,1]),1.)
x = torch.arange(6.0).reshape(2, 3); x.masked_fill(torch.tensor([True,False]),1.)
x = torch.arange(6.0).reshape(2, 3); x.masked_fill(torch.tensor([[True,False,True]]),torch.tensor([1.]))
x = torch.arange(6.0).reshape(2, 3); x.masked_fill(torch.ones(2,2,3,dtype=torch.bool),0)
x = torch.arange(6.0).reshape(2, 3); x.masked_fill(torch.tensor([True,False,True]),torch.tensor(1.,dtype=torch.float64))
x = torch.arange(6.0).reshape(2, 3); x.long().masked_fill(torch.tensor([True,False,True]),1.5)
x = torch.arange(6.0).reshape(2, 3); x.masked_select(torch.tensor([1,0,1]))
x = torch.arange(6.0).reshape(2, 3); x.masked_scatter(torch.tensor([True,False,True]),torch.tensor([1.]))
x = torch.arange(6.0).reshape(2, 3); x.masked_scatter(torch.tensor([True,False,True]),torch.tensor([1,2,3,4]))
x = torch.arange(6.0).reshape(2, 3); x.gather(0,torch.tensor([[0.]]))
x = torch.arange(6.0).reshape(2, 3); x.gather(0,torch.tensor([0]))
x = torch.arange(6.0).reshape(2, 3); x.gather(5,torch.tensor([[0]]))
x = torch.arange(6.0).reshape(2, 3); x.scatter(0,torch.tensor([[0]]),torch.tensor([[0]]))
x = torch.arange(6.0).reshape(2, 3); x.scatter(0,torch.tensor([[0,0,0,0]]),torch.tensor([[1.,1,1,1]]))
x = torch.arange(6.0).reshape(2, 3); x.scatter(0,torch.tensor([[0]]),1,reduce="foo")
x = torch.arange(6.0).reshape(2, 3); x.scatter(0,torch.tensor([[0]]),2,reduce="multiply")
x = torch.arange(6.0).reshape(2, 3); x.scatter(0,torch.tensor([[0]]),2,reduce="add")
x = torch.arange(6.0).reshape(2, 3); x.scatter(0,torch.tensor([[-1]]),2)
x = torch.arange(6.0).reshape(2, 3); x.scatter_reduce(0,torch.tensor([[0]]),x,"foo")
x = torch.arange(6.0).reshape(2, 3); x.index_select(0,torch.tensor([5]))
x = torch.arange(6.0).reshape(2, 3); x.index_select(0,torch.tensor([[0]]))
x = torch.arange(6.0).reshape(2, 3); x.index_select(0,torch.tensor([0.]))
x = torch.arange(6.0).reshape(2, 3); x.index_select(0,torch.tensor([-1]))
x = torch.arange(6.0).reshape(2, 3); x.index_select(3,torch.tensor([0]))
x = torch.arange(6.0).reshape(2, 3); x.index_add(0,torch.tensor([0,5]),x)
x = torch.arange(6.0).reshape(2, 3); x.index_add(0,torch.tensor([0]),x)
x = torch.arange(6.0).reshape(2, 3); x.index_add(0,torch.tensor([0,1]),x.double())
x = torch.arange(6.0).reshape(2, 3); x.index_copy(0,torch.tensor([0,5]),x)
x = torch.arange(6.0).reshape(2, 3); x.index_copy(0,torch.tensor([0]),x)
x = torch.arange(6.0).reshape(2, 3); x.index_copy(0,torch.tensor([0,1]),x.double())
x = torch.arange(6.0).reshape(2, 3); x.index_fill(0,torch.tensor([5]),1)
x = torch.arange(6.0).reshape(2, 3); x.index_fill(0,torch.tensor([-1]),1)
x = torch.arange(6.0).reshape(2, 3); x.index_fill(0,torch.tensor([0]),torch.tensor([1.,2]))
x = torch.arange(6.0).reshape(2, 3); x.index_reduce(0,torch.tensor([0]),x[:1],"foo")
x = torch.arange(6.0).reshape(2, 3); x.take(torch.tensor([6]))
x = torch.arange(6.0).reshape(2, 3); x.take(torch.tensor([-1]))
x = torch.arange(6.0).reshape(2, 3); x.take(torch.tensor([0.]))
x = torch.arange(6.0).reshape(2, 3); x.put(torch.tensor([0]),torch.tensor([1,2]))
x = torch.arange(6.0).reshape(2, 3); x.put(torch.tensor([0]),torch.tensor([1]))
x = torch.arange(6.0).reshape(2, 3); x.put(torch.tensor([9]),torch.tensor([1.]))
x = torch.arange(6.0).reshape(2, 3); x.take_along_dim(torch.tensor([[0]]),0)
x = torch.arange(6.0).reshape(2, 3); x.take_along_dim(torch.tensor([0]),0)
x = torch.arange(6.0).reshape(2, 3); x.take_along_dim(torch.tensor([[0.]]),0)
x = torch.arange(6.0).reshape(2, 3); x.nonzero()
x = torch.arange(6.0).reshape(2, 3); x.nonzero(as_tuple=True)
torch.tensor(3).nonzero()
torch.tensor(3).nonzero(as_tuple=True)
x = torch.arange(6.0).reshape(2, 3); torch.nonzero_static(x,size=3)
x = torch.arange(6.0).reshape(2, 3); torch.nonzero_static(x,size=7,fill_value=9)
torch.unravel_index(torch.tensor([[0,5],[7,-1]]),(2,3))
torch.unravel_index(torch.tensor(5,dtype=torch.uint8),[2,3])
torch.unravel_index(torch.tensor([1,2]),4)
torch.unravel_index(torch.tensor([1,2]),())
torch.unravel_index(torch.tensor([1,2]),(0,2))
torch.unravel_index(torch.tensor([],dtype=torch.int64),(0,2))
torch.unravel_index(torch.tensor([1.]),(2,3))
torch.unravel_index(torch.tensor([True]),(2,3))
torch.unravel_index(torch.tensor([1]),2.)
torch.unravel_index(torch.tensor([1]),(2.,3))
torch.unravel_index(torch.tensor([1]),-3)
x = torch.arange(6.0); torch.cat([x,x],out=x)
x = torch.arange(0.0); torch.cat([x,torch.ones(2)],out=x)
x = torch.arange(6.0); torch.take(x,torch.tensor([1]),out=x)
x = torch.arange(6.0).reshape(2, 3); torch.argwhere(x)
torch.argwhere(torch.tensor(3))
x = torch.arange(6.0).reshape(2, 3); x.select(0,5)
x = torch.arange(6.0).reshape(2, 3); x.select(3,0)
x = torch.arange(6.0).reshape(2, 3); x[0,0].select(0,0)
x = torch.arange(6.0).reshape(2, 3); torch.where(x>2)
x = torch.arange(6.0).reshape(2, 3); x.scatter_add(0,torch.tensor([[0]]),1)
x = torch.arange(6.0).reshape(2, 3); x.index_put_((torch.tensor([0]),torch.tensor([0])),torch.tensor(1.),True)
x = torch.arange(6.0).reshape(2, 3); x.index_add(0,torch.tensor([[0]]),x)
x = torch.arange(6.0).reshape(2, 3); x.index_copy(0,torch.tensor([[0]]),x)
x = torch.arange(6.0).reshape(2, 3); x.index_copy(0,torch.tensor([0]),torch.tensor(1.))
x = torch.arange(6.0).reshape(2, 3); x.scatter_reduce(0,torch.tensor([[0]]),x,"sum",include_self=False)
"""

TOPICS = {"folds": FOLDS, "views": VIEWS, "choice": CHOICE}


def questions(topic: str) -> list[str]:
    """The questions of `topic`, in order."""
    return TOPICS[topic].strip().splitlines()


def check(topic: str) -> Any:
    """A test that asks our stack all questions of `topic`, one by one."""
    return golden.check(topic, questions(topic), FILE)


if __name__ == "__main__":
    import warnings

    import torch

    warnings.simplefilter("ignore")
    answers = {t: {q: golden.answer(torch, t, q) for q in questions(t)} for t in TOPICS}
    FILE.write_text(json.dumps(answers, indent=0) + "\n")
